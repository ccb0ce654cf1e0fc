import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The layers of an encoder in memory, run one by one. What is done to a layer's matrices is done to the network.
struct EncoderBlocks: BlockwiseModel {
    private let network: any EncoderNetwork

    init(_ network: any EncoderNetwork) { self.network = network }

    var blockCount: Int { network.stack.layers.count }

    /// - Parameter tokens: of a text with what surrounds it, none of them padding.
    /// - Returns: `[1, tokens, hidden]`.
    func embed(_ tokens: [Int]) -> Tensor {
        let text = Tensor(tokens, shape: [1, tokens.count])
        return withoutRecording { network.embedded(text, network.context(of: text)) }
    }

    func block(_ index: Int) -> any ModelBlock {
        let place = EncoderLayerPlace(network.configuration.family, layer: index)
        return EncoderBlock(network.stack.layers[index], prefix: place.name + ".")
    }
}

/// A layer of an encoder with the names that its matrices have in checkpoints.
private final class EncoderBlock: ModelBlock {
    let matrixNames: [String]
    private let layer: EncoderLayer
    private let prefix: String
    private let parameters: [String: Parameter]

    init(_ layer: EncoderLayer, prefix: String) {
        let matrices = layer.parameters.filter { $0.parameter.wrappedValue.rank == 2 }
        self.layer = layer
        self.prefix = prefix
        matrixNames = matrices.map { prefix + $0.name }
        parameters = Dictionary(uniqueKeysWithValues: matrices.map { (prefix + $0.name, $0.parameter) })
    }

    func matrix(_ name: String) -> Tensor { parameter(name).wrappedValue.detached() }

    func setMatrix(_ name: String, to values: Tensor) { parameter(name).wrappedValue = values }

    private func parameter(_ name: String) -> Parameter {
        guard let parameter = parameters[name] else { preconditionFailure("the layer has no matrix \(name)") }
        return parameter
    }

    func run(_ hidden: Tensor, observe: ((_ name: String, _ input: Tensor) -> Void)?) -> Tensor {
        withoutRecording {
            layer.run(hidden) { [prefix] name, input in observe?(prefix + name, input.squeezed(0).contiguous()) }
        }
    }
}
