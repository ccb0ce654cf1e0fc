import CoppiceNetworks
import CoppiceTensors

/// The weights of a masked network with the values that removed ones have too: θ beside m ⊙ θ, which the network holds.
///
/// An optimizer moves θ in the network's place, so that nothing is copied but what the masks keep.
struct UnmaskedWeights {
    /// θ of each prunable weight, f32 `[rows, columns]`.
    private(set) var values: [Tensor]
    private let network: PrunableNetwork

    /// The network's weights as they are.
    init(_ network: PrunableNetwork) {
        self.network = network
        values = network.weights.indices.map { network.values($0).copied() }
    }

    /// Puts θ into the network, unmasked, for an update; ``conceal()`` takes it out again.
    ///
    /// - Parameter gradients: by the network's parameters; those by z = m ⊙ θ become those by θ, m ⊙ ∂ℓ/∂z.
    mutating func reveal(_ gradients: inout [Tensor]) {
        for (index, mask) in network.masks.enumerated() {
            let (place, parameter) = (network.places[index], network.parameters[index])
            gradients[place] = gradients[place].detached().contiguous()
            gradients[place].withMutableElements(Float.self) { mask.apply(to: $0) }
            let shape = parameter.wrappedValue.shape
            parameter.wrappedValue = values[index].reshaped(shape)
            // The network's is the only reference, so that the update is in place.
            values[index] = Tensor(uninitialized: [0])
        }
    }

    /// Takes what the update has made of θ, and puts m ⊙ θ into the network.
    mutating func conceal() {
        for (index, weight) in network.weights.enumerated() {
            values[index] = network.parameters[index].wrappedValue.detached().reshaped([weight.rows, weight.columns])
        }
        network.show(values)
    }
}
