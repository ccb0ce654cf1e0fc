import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Adds λ|γ| of all batch normalizations to the loss, so that channels that matter little lose their scale: the training
/// that ``NormScale`` is meant for (Liu et al., "Learning efficient convolutional networks through network slimming",
/// 2017, equation 1).
public final class ScaleSparsity: TrainingHook {
    public let strength: Double
    private let places: [Int]
    private let parameters: [Parameter]

    /// - Parameter strength: λ; the paper takes 1e-4 and 1e-5.
    /// - Throws: `.badData` for a network without batch normalization.
    public init(of network: Module, strength: Double = 1e-4) throws {
        let scales = NormScale.scales(of: network)
        let all = network.parameters
        places = all.indices.filter { scales.contains(all[$0].name) }
        parameters = places.map { all[$0].parameter }
        self.strength = strength
        guard !places.isEmpty else {
            throw CoppiceError(.badData, "the network has no batch normalization to sparsify")
        }
    }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        withoutRecording {
            for (place, parameter) in zip(places, parameters) {
                gradients[place] = gradients[place] + parameter.wrappedValue.detached().sign() * strength
            }
        }
    }
}
