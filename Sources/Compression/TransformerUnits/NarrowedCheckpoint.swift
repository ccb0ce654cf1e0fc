import CoppiceModels
import CoppiceTensors

/// A checkpoint without units that went from its blocks, as many from each: a smaller model, whose tensors are cut as they
/// are read.
public struct NarrowedCheckpoint: WeightSource {
    public let checkpoint: Checkpoint
    /// Of the smaller model.
    public private(set) var configuration: DecoderConfiguration
    /// What is left of tensors that were cut.
    private var cuts: [String: (axis: Int, positions: [Int])] = [:]

    /// The checkpoint as it is.
    public init(_ checkpoint: Checkpoint) {
        self.checkpoint = checkpoint
        configuration = checkpoint.configuration
    }

    /// Leaves some units of each block.
    ///
    /// - Parameter kept: by block, as many of each, in their order.
    /// - Precondition: units of this kind were not cut before.
    public mutating func cut(_ units: TransformerUnits, keeping kept: [[Int]]) {
        let count = kept.first?.count ?? 0
        precondition(kept.count == units.blockCount, "\(kept.count) of \(units.blockCount) blocks")
        precondition(kept.allSatisfy { $0.count == count }, "blocks of several widths")
        guard count < units.count else { return }
        configuration = units.configuration(configuration, keeping: count)
        for (block, own) in kept.enumerated() {
            for part in units.parts {
                let earlier = cuts.updateValue(
                    (part.axis, part.positions(own)), forKey: units.name(part, block: block))
                precondition(earlier == nil, "\(part.name) was cut before")
            }
        }
    }

    /// Whether something of a tensor went.
    public func isCut(_ name: String) -> Bool { cuts[name] != nil }

    /// Whether a tensor has rows and columns.
    func isMatrix(_ name: String) -> Bool { checkpoint.shape(of: name)?.count == 2 }

    /// What is left of a tensor, in its stored type, or f32 for a compressed matrix.
    ///
    /// - Throws: `.badData` as ``Checkpoint/tensor(_:)``.
    public func tensor(_ name: String) throws -> Tensor {
        let whole = try checkpoint.tensor(name)
        guard let cut = cuts[name] else { return whole }
        return withoutRecording { whole.take(Tensor(cut.positions), axis: cut.axis) }
    }

    public var matrices: [PrunableWeight] {
        configuration.tensorShapes.filter { $0.shape.count == 2 }.map {
            PrunableWeight(name: $0.name, rows: $0.shape[0], columns: $0.shape[1])
        }
    }

    public func values(of name: String) throws -> Tensor {
        // Read once each time: what is read again comes from the system's cache.
        defer { checkpoint.releasePages(of: name) }
        guard isCut(name) else { return try checkpoint.weight(name).dense() }
        return try tensor(name).converted(to: .f32)
    }

    /// The model in memory, in f32, with what masks remove set to zero.
    func network(under masks: (_ name: String) -> WeightMask?) throws -> DecoderNetwork {
        let network = DecoderNetwork(configuration)
        try network.load(source: checkpoint.path) { try tensor($0) }
        network.setTraining(false)
        for (name, parameter) in network.parameters {
            guard let mask = masks(name) else { continue }
            var values = parameter.wrappedValue.detached().converted(to: .f32).copied()
            mask.apply(to: &values)
            parameter.wrappedValue = values
        }
        return network
    }
}
