import CoppiceTensors

extension ChannelGroups {
    /// The parameters and state of the network without the channels that are not kept, under their names: what a
    /// narrower network of the same architecture loads.
    ///
    /// - Parameter network: the one that the groups were found in, or another of the same shapes.
    /// - Returns: copies, parameters first, in the network's order.
    /// - Throws: `.usage` naming the tensor of which nothing would be left.
    public func sliced(_ network: Module, keeping kept: KeptChannels) throws -> [(name: String, tensor: Tensor)] {
        let removed = removedPositions(kept)
        let all =
            network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        return try withoutRecording {
            try all.map { name, tensor in
                var result = tensor
                for axis in tensor.shape.indices {
                    guard let gone = removed[Axis(name: name, axis: axis)] else { continue }
                    let left = (0..<tensor.shape[axis]).filter { !gone.contains($0) }
                    guard !left.isEmpty else {
                        throw CoppiceError(.usage, field: name, "keeps no channel, expected at least one")
                    }
                    result = result.take(Tensor(left), axis: axis)
                }
                return (name, result.copied())
            }
        }
    }

    /// Sets to zero all that belongs to channels that are not kept, so that the network computes what the narrower one
    /// will. Running statistics stay.
    public func mask(_ network: Module, keeping kept: KeptChannels) {
        let removed = removedPositions(kept)
        for (name, parameter) in network.parameters {
            let shape = parameter.wrappedValue.shape
            for axis in shape.indices {
                guard let gone = removed[Axis(name: name, axis: axis)] else { continue }
                let factors = (0..<shape[axis]).map { gone.contains($0) ? 0.0 : 1.0 }
                let target = shape.indices.map { $0 == axis ? shape[axis] : 1 }
                let own = parameter.wrappedValue.detached()
                parameter.wrappedValue = own * Tensor(factors, shape: target).converted(to: own.dataType)
            }
        }
    }
}
