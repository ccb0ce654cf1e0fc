import CoppiceNetworks
import CoppiceTensors

extension VisionArchitecture {
    /// The same architecture with the widths of other tensors.
    ///
    /// - Throws: `.badData` naming the tensor that has no place in the architecture or another shape than its widths
    ///   give.
    public func resized(to tensors: TensorShapes) throws -> VisionArchitecture {
        try resizedNetwork(to: tensors).architecture
    }

    /// The same architecture with the widths of other tensors, and a network of it without values.
    private func resizedNetwork(
        to tensors: TensorShapes
    ) throws -> (architecture: VisionArchitecture, network: any VisionNetwork) {
        var own: any VisionConfiguration = configuration.sized(by: tensors)
        var layers = LayerBuilder(unloaded: own.options, widths: tensors.outputs)
        _ = own.network(&layers)
        own.options.widths = layers.widths.filter { layers.standardWidths[$0.key] != $0.value }
            .reduce(into: [:]) { $0[$1.key] = $1.value }
        let result = try VisionArchitecture(own)
        let network = result.makeUnloadedNetwork()
        try tensors.check(network, named: result.name)
        return (result, network)
    }

    /// A network of this architecture, with the widths of its tensors.
    ///
    /// - Throws: `.badData` for tensors that do not fit together.
    func network(of tensors: [(name: String, tensor: Tensor)], isTraining: Bool) throws -> any VisionNetwork {
        let shapes = try TensorShapes(tensors.map { ($0.name, $0.tensor.shape) })
        let network = try resizedNetwork(to: shapes).network
        let byName = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.tensor) })
        try network.load { name in
            guard let tensor = byName[name] else { throw CoppiceError(.badData, field: name, "is missing") }
            return tensor
        }
        network.setTraining(isTraining)
        return network
    }
}

extension VisionNetwork {
    /// Parameters and state under their names.
    var tensorsByName: [(name: String, tensor: Tensor)] {
        parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
            + stateTensors.map { ($0.name, $0.state.wrappedValue) }
    }

    /// Whether the network is being trained.
    var trainingMode: Bool {
        modules.lazy.compactMap { $0.module as? any TrainingModeDependent }.first?.isTraining ?? true
    }

    /// A network of the same architecture with narrower layers.
    ///
    /// - Parameter tensors: its parameters and state, as ``ChannelGroups/sliced(_:keeping:)`` gives them.
    /// - Returns: a network in the same mode (training or use).
    /// - Throws: `.badData` for tensors that do not fit together.
    public func narrowed(to tensors: [(name: String, tensor: Tensor)]) throws -> any VisionNetwork {
        try VisionArchitecture(configuration).network(of: tensors, isTraining: trainingMode)
    }

    /// The network without channels that are not kept: smaller, and as fast as its size.
    ///
    /// - Parameter groups: this network's.
    /// - Throws: `.usage` where a layer would keep nothing; `.badData` where the architecture cannot have such widths.
    public func removingChannels(of groups: ChannelGroups, keeping kept: KeptChannels) throws -> any VisionNetwork {
        try narrowed(to: groups.sliced(self, keeping: kept))
    }
}
