import CoppiceNetworks
import CoppiceTensors

/// A residual network whose blocks have gates: trained like the network itself, and the same network bit for bit while
/// all gates are open.
///
/// ```swift
/// let gated = try GatedNetwork(network, GateSettings(mode: .layer), seed: 1)
/// try training.run(gated, on: batches, hooks: [GateRegularization(gated, target: 0.5, steps: 1_000)])
/// ```
///
/// In layer mode every block whose output has its input's shape has one gate; in channel mode every residual block has
/// one for each channel between its first two convolutions. Parameters are those of the network under their names, then
/// those of the gates, `gates.layer1.0.fc1.weight`.
public final class GatedNetwork: Module, SupervisedNetwork {
    /// A block with its gate.
    public struct Block {
        public let place: ResidualBlockPlace
        public let gate: any BlockGate
        /// Multiplications for one image that each of the gates saves when it is closed: of all of the block, or of a
        /// channel's row of the first and column of the second convolution.
        public let multiplications: [Int]
        fileprivate let block: any GateableBlock
    }

    /// The network, with gates in its blocks.
    @Submodule public var network: any VisionNetwork
    private let members: [Submodule<Module>]
    public let mode: GateMode
    /// In the network's order.
    public let blocks: [Block]
    /// Multiplications for one image of the network without gates.
    public let multiplications: Int

    /// Multiplications of the gates themselves for one image.
    public var gateMultiplications: Int {
        blocks.flatMap(\.gate.parameters).reduce(0) { total, own in
            let value = own.parameter.wrappedValue
            return total + (value.rank == 2 ? value.count : 0)
        }
    }

    /// Puts gates into a network's blocks.
    ///
    /// - Parameter makeGate: the gate of a block, the blocks counted from 0.
    /// - Throws: `.badData` for a network without residual blocks, and in layer mode for one without blocks that can be
    ///   skipped.
    public init(
        _ network: any VisionNetwork, mode: GateMode, makeGate: (_ index: Int, any GateableBlock) -> any BlockGate
    ) throws {
        let architecture = try VisionArchitecture(network.configuration)
        let places = try BlockRemoval.blocks(of: architecture).filter { mode == .channel || $0.keepsShape }
        let modules = network.modules
        let found = places.compactMap { place in
            (modules.first { $0.name == place.name }?.module as? any GateableBlock).map { (place, $0) }
        }
        guard !found.isEmpty, found.count == places.count else {
            throw CoppiceError(
                .badData, field: "architecture",
                "\(architecture.name) has no block that can be skipped, expected one of convolutions whose output has its "
                    + "input's shape"
            )
        }
        let structure = try ChannelStructure(architecture)
        multiplications = structure.multiplications(structure.widths)
        blocks = found.enumerated().map { index, found in
            Block(
                place: found.0, gate: makeGate(index, found.1),
                multiplications: Self.multiplications(of: found.0.name, found.1, mode, structure), block: found.1)
        }
        self.mode = mode
        members = blocks.map { Submodule<Module>("gates.\($0.place.name)", $0.gate) }
        _network = Submodule("", network)
        super.init()
        for own in blocks { own.block.gate = own.gate }
    }

    private static func multiplications(
        of name: String, _ block: any GateableBlock, _ mode: GateMode, _ structure: ChannelStructure
    ) -> [Int] {
        func count(_ isOwn: (String) -> Bool) -> Int {
            structure.entries.reduce(0) { $0 + (isOwn($1.name) ? $1.uses * $1.count(structure.widths) : 0) }
        }
        switch mode {
        case .layer: return [count { $0.hasPrefix(name + ".") }]
        case .channel:
            let own = count { $0 == "\(name).conv1.weight" || $0 == "\(name).conv2.weight" }
            return [Int](repeating: own / block.middleChannels, count: block.middleChannels)
        }
    }

    public func outputs(_ inputs: Tensor) -> Tensor { network.outputs(inputs) }

    /// Computes with the network as if it had no gates.
    public func withoutGates<Result>(_ body: (any VisionNetwork) throws -> Result) rethrows -> Result {
        for own in blocks { own.block.gate = nil }
        defer { for own in blocks { own.block.gate = own.gate } }
        return try body(network)
    }

    /// Makes every gate decide alike for all images; nil lets the gates decide again.
    ///
    /// - Precondition: decisions for all gates of all blocks.
    public func decide(_ decisions: [[Bool]]?) {
        precondition(
            decisions.map { $0.map(\.count) == blocks.map(\.gate.count) } ?? true, "decisions for other gates")
        for (index, own) in blocks.enumerated() { own.gate.decisions = decisions?[index] }
    }

    /// The running averages of training.
    public var report: GateReport {
        report(means: blocks.map { $0.gate.runningMeans.doubles() })
    }

    /// A report of means of the gates, by block.
    public func report(means: [[Double]]) -> GateReport {
        GateReport(
            mode: mode,
            blocks: zip(blocks, means).map { own, means in
                GateReport.Block(
                    name: own.place.name, means: means, multiplications: own.multiplications,
                    reopenings: own.gate.reopenings.integers().reduce(0, +))
            }, multiplications: multiplications)
    }
}

/// What gates are made of.
public struct GateSettings: Sendable, Hashable {
    public var mode: GateMode
    public var estimator = GateEstimator.sigmoid
    /// Outputs of the first layer of each gate; nil for half the block's input channels, at most 16.
    public var hidden: Int?
    /// Of the second layer, at first.
    public var bias = 1.0
    /// Whether a branch is computed only for the images that it is open for; of layers only.
    public var isLazy = false

    public init(mode: GateMode) { self.mode = mode }
}

extension GatedNetwork {
    /// Puts a ``ConsensusGate`` into every block.
    ///
    /// - Throws: as the general initializer; `.usage` for lazy gates of channels.
    public convenience init(_ network: any VisionNetwork, _ settings: GateSettings, seed: UInt64) throws {
        guard !settings.isLazy || settings.mode == .layer else {
            throw CoppiceError(.usage, field: "lazy", "skips whole blocks, expected the mode layer")
        }
        let counts = network.modules.compactMap { ($0.module as? any GateableBlock)?.middleChannels }
        // Gates of a block on average, so that a gate feels as much of the penalties as that of a whole block would.
        let rate = settings.mode == .layer ? 1 : Double(counts.reduce(0, +)) / Double(max(1, counts.count))
        try self.init(network, mode: settings.mode) { index, block in
            let count = settings.mode == .layer ? 1 : block.middleChannels
            return ConsensusGate(
                mode: settings.mode, inputs: block.inputChannels, count: count,
                hidden: settings.hidden ?? max(1, min(16, block.inputChannels / 2)), estimator: settings.estimator,
                bias: settings.bias, isLazy: settings.isLazy, outputRate: rate,
                seed: seed &+ UInt64(index + 1) &* 0xD1B5_4A32_D192_ED03)
        }
    }
}
