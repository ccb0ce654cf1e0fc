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

    /// The gradients of several losses as rows: f32 `[losses, count]`. No more than one loss's graph is in memory.
    ///
    /// - Parameters:
    ///   - losses: how many.
    ///   - gradients: the gradients of a loss by the parameters. The mean loss of some examples, not its sum, is what
    ///     a dampening's size refers to.
    /// - Throws: what `gradients` throws; `.badData` for no loss, and for more than `limit` bytes.
    public func rows(
        _ losses: Int, limit: Int = FlatParameters.memoryLimit, gradients: (_ loss: Int) throws -> [Tensor]
    ) throws -> Tensor {
        guard losses > 0, count > 0 else {
            throw CoppiceError(
                .badData, field: "gradients", "\(losses) of \(count) weights, expected at least one of each")
        }
        let bytes = losses * count * 4
        guard bytes <= limit else {
            throw CoppiceError(
                .usage, field: "gradients",
                "\(losses) of \(count) weights take \(bytes >> 20) MB, more than the limit of \(limit >> 20) MB: "
                    + "use fewer gradients")
        }
        var result = Tensor(uninitialized: [losses, count])
        for loss in 0..<losses {
            let own = row(try gradients(loss))
            own.withElements(Float.self) { source in
                result.withMutableElements(Float.self) { rows in
                    for k in source.indices { rows[loss * source.count + k] = source[k] }
                }
            }
        }
        return result
    }

    /// Bytes that gradients may take by default: 8 GB.
    public static let memoryLimit = 8 << 30
}

extension SupervisedNetwork {
    /// The gradients of the mean losses of batches by parameters, as rows: f32 `[batches, weights]`.
    ///
    /// The network is in use (running statistics) meanwhile, and keeps nothing of it.
    ///
    /// - Parameters:
    ///   - batches: one row each; batches of one example give the gradients of examples.
    ///   - places: the parameters among ``Module/parameters``, increasing.
    ///   - kept: places among all their elements that the rows have; nil for all.
    /// - Throws: `.badData` for no batch, `.usage` for more memory than `limit` bytes.
    public func gradientRows(
        on batches: [LabeledBatch], parameters places: [Int]? = nil, kept: [Int]? = nil,
        limit: Int = FlatParameters.memoryLimit
    ) throws -> Tensor {
        let all = parameters.map(\.parameter)
        let own = places.map { $0.map { all[$0].wrappedValue } } ?? all.map(\.wrappedValue)
        let flat = FlatParameters(counts: own.map(\.count), kept: kept)
        return try withTraining(false) {
            try keepingState {
                try flat.rows(batches.count, limit: limit) {
                    gradients(of: loss(batches[$0]), withRespectTo: own)
                }
            }
        }
    }
}
