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
                parameter.wrappedValue = parameter.wrappedValue.detached().zeroing(gone, axis: axis)
            }
        }
    }
}

extension ChannelGroup {
    /// Sets to zero what is multiplied by some of the channels: the network then computes, in use, what it would without
    /// them. What makes them stays.
    ///
    /// - Parameter parameters: of the network, by their names.
    package func closeReaders(of channels: some Sequence<Int>, in parameters: [String: Parameter]) {
        for member in members where member.isReader {
            guard let parameter = parameters[member.name] else { continue }
            let gone = Set(channels.flatMap { member.positions[$0] })
            parameter.wrappedValue = parameter.wrappedValue.detached().zeroing(gone, axis: member.axis)
        }
    }
}

extension Tensor {
    /// Zeros at some positions of an axis, all else as it is.
    fileprivate func zeroing(_ positions: Set<Int>, axis: Int) -> Tensor {
        let factors = (0..<shape[axis]).map { positions.contains($0) ? 0.0 : 1.0 }
        let target = shape.indices.map { $0 == axis ? shape[axis] : 1 }
        return self * Tensor(factors, shape: target).converted(to: dataType)
    }
}
