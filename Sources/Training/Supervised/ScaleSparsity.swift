import CoppiceNetworks
import CoppiceTensors

/// Adds λ|γ| of all batch normalizations to the loss, so that channels that matter little lose their scale: the training
/// of network slimming, after which channels go by their scales (Liu et al., "Learning efficient convolutional networks
/// through network slimming", 2017, equation 1).
///
/// The gradient of |γ| is its sign, and 0 at 0. ``SupervisedTraining/scaleSparsity`` has it in a training.
public final class ScaleSparsity: TrainingHook {
    public let strength: Double
    private let places: [Int]
    private let parameters: [Parameter]

    /// - Parameter strength: λ; the paper takes 1e-4 and 1e-5.
    /// - Throws: `.badData` for a network without batch normalization.
    public init(of network: Module, strength: Double = 1e-4) throws {
        let scales = Self.names(in: network)
        let all = network.parameters
        places = all.indices.filter { scales.contains(all[$0].name) }
        parameters = places.map { all[$0].parameter }
        self.strength = strength
        guard !places.isEmpty else {
            throw CoppiceError(.badData, "the network has no batch normalization to sparsify")
        }
    }

    /// Names of the scales of batch normalizations, γ.
    package static func names(in network: Module) -> Set<String> {
        Set(network.modules.filter { $0.module is BatchNorm }.map { $0.name.isEmpty ? "weight" : "\($0.name).weight" })
    }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        withoutRecording {
            for (place, parameter) in zip(places, parameters) {
                gradients[place] = gradients[place] + parameter.wrappedValue.detached().sign() * strength
            }
        }
    }
}
