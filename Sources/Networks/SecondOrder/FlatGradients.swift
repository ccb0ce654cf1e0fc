import CKernels
import CoppiceTensors

/// Gradients by several parameters as one row of numbers: the parameters one after the other, or only some places.
public struct FlatParameters: Sendable {
    /// Number of elements of each parameter.
    public let counts: [Int]
    /// The places kept, increasing; nil for all.
    public let kept: [Int]?

    /// - Precondition: kept places are increasing and exist.
    public init(counts: [Int], kept: [Int]? = nil) {
        precondition(
            (kept?.first ?? 0) >= 0 && (kept?.last ?? -1) < counts.reduce(0, +), "kept places beyond the parameters")
        self.counts = counts
        self.kept = kept
    }

    /// Length of a row.
    public var count: Int { kept?.count ?? counts.reduce(0, +) }

    /// One row: f32 `[count]`.
    ///
    /// - Precondition: as many tensors and elements as there are parameters.
    public func row(_ tensors: [Tensor]) -> Tensor {
        precondition(tensors.map(\.count) == counts, "tensors of \(tensors.map(\.count)) for parameters of \(counts)")
        return withoutRecording {
            let flat = Tensor.concatenated(
                tensors.map { $0.detached().converted(to: .f32).contiguous().reshaped([$0.count]) })
            return kept.map { flat.take(Tensor($0)) } ?? flat
        }
    }

    /// One row of scale · gradient + decay · value: f32 `[count]`, computed in one pass.
    ///
    /// - Parameters:
    ///   - values: of the parameters; nil where nothing is added.
    /// - Precondition: as many tensors and elements as there are parameters.
    func row(of gradients: [Tensor], scale: Double, values: [Tensor?], decay: Double) -> Tensor {
        precondition(gradients.map(\.count) == counts, "gradients of other parameters")
        return withoutRecording {
            var flat = Tensor(uninitialized: [counts.reduce(0, +)])
            flat.withMutableElements(Float.self) { out in
                var start = 0
                for (gradient, value) in zip(gradients, values) {
                    let target = out.baseAddress.map { $0 + start }
                    gradient.detached().converted(to: .f32).withElements(Float.self) { g in
                        func add(_ p: UnsafePointer<Float>?) {
                            coppice_decayed_gradient(g.count, Float(scale), Float(decay), g.baseAddress, p, target)
                        }
                        if let value { value.withElements(Float.self) { add($0.baseAddress) } } else { add(nil) }
                    }
                    start += gradient.count
                }
            }
            return kept.map { flat.take(Tensor($0)) } ?? flat
        }
    }

    /// The parts of a row, one vector for each parameter, zeros at places that are not kept.
    ///
    /// - Precondition: a row of ``count`` numbers.
    public func parts(of row: Tensor) -> [Tensor] {
        precondition(row.shape == [count], "a row of \(row.shape), \(count) expected")
        return withoutRecording {
            let flat = kept.map { row.scatteredAdd(Tensor($0), extent: counts.reduce(0, +)) } ?? row
            var start = 0
            return counts.map { own in
                defer { start += own }
                return flat.slice(axis: 0, start..<(start + own))
            }
        }
    }

    /// The gradients of several losses as rows: `[losses, count]`. No more than one loss's graph is in memory.
    ///
    /// - Parameters:
    ///   - losses: how many.
    ///   - storage: what the gradients are rounded to.
    ///   - gradients: the gradients of a loss by the parameters. The mean loss of some examples, not its sum, is what
    ///     a dampening's size refers to.
    /// - Throws: what `gradients` throws; `.badData` for no loss, and `.usage` for more than `limit` bytes.
    public func rows(
        _ losses: Int, storage: GradientStorage = .f32, limit: Int = FlatParameters.memoryLimit,
        gradients: (_ loss: Int) throws -> [Tensor]
    ) throws -> Tensor {
        try withoutActuallyEscaping(gradients) {
            let stream = GradientStream(count: losses, layout: self, gradients: $0)
            try stream.check()
            let bytes = losses * count * storage.byteCount
            guard bytes <= limit else {
                throw CoppiceError(
                    .usage, field: "gradients",
                    "\(losses) of \(count) weights take \(bytes >> 20) MB, more than the limit of \(limit >> 20) MB: "
                        + "use fewer gradients")
            }
            return try stream.rows(in: storage)
        }
    }

    /// Bytes that gradients may take by default: 8 GB.
    public static let memoryLimit = 8 << 30
}
