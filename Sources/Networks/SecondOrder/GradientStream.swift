import CoppiceTensors

/// The gradients of several losses by the parameters of a network, which are computed when it is their turn: no more
/// than one is in memory, unless they are kept.
public struct GradientStream {
    /// Number of gradients m.
    public let count: Int
    /// How the parameters lie in a gradient.
    public let layout: FlatParameters
    let gradients: (_ loss: Int) throws -> [Tensor]

    /// Calls `body` with each gradient in order: f32 `[layout.count]`.
    ///
    /// - Throws: what `body` throws; `.badData` where there is no gradient or no weight.
    public func forEach(_ body: (_ gradient: Tensor) throws -> Void) throws {
        try check()
        for loss in 0..<count { try body(layout.row(gradients(loss))) }
    }

    /// All gradients, `[m, layout.count]`.
    ///
    /// - Throws: as ``forEach(_:)``.
    public func rows(in storage: GradientStorage = .f32) throws -> Tensor {
        try check()
        var rows = GradientRows(Tensor(uninitialized: [count, layout.count], dataType: storage.dataType))
        var row = 0
        try forEach {
            rows.replace(row, with: $0)
            row += 1
        }
        return rows.values
    }

    /// - Throws: `.badData` where there is no gradient, or where gradients have no weight.
    public func check() throws {
        guard count > 0, layout.count > 0 else {
            throw CoppiceError(
                .badData, field: "gradients",
                "\(count) of \(layout.count) weights, expected at least one of each")
        }
    }
}

extension SupervisedNetwork {
    /// The gradients of the mean losses of batches by parameters.
    ///
    /// The network is in use (running statistics) meanwhile, and keeps nothing of it.
    ///
    /// - Parameters:
    ///   - batches: one gradient each; batches of one example give the gradients of examples.
    ///   - places: the parameters among ``Module/parameters``, increasing.
    ///   - kept: places among all their elements that the gradients have; nil for all.
    /// - Throws: what `body` throws.
    public func withGradients<Result>(
        of batches: [LabeledBatch], parameters places: [Int]? = nil, kept: [Int]? = nil,
        _ body: (GradientStream) throws -> Result
    ) throws -> Result {
        let all = parameters.map(\.parameter)
        let own = places.map { $0.map { all[$0].wrappedValue } } ?? all.map(\.wrappedValue)
        let layout = FlatParameters(counts: own.map(\.count), kept: kept)
        return try withTraining(false) {
            try keepingState {
                try withoutActuallyEscaping({ (loss: Int) in
                    gradients(of: self.loss(batches[loss]), withRespectTo: own)
                }) { try body(GradientStream(count: batches.count, layout: layout, gradients: $0)) }
            }
        }
    }

    /// The gradients of the mean losses of batches by parameters, as rows: f32 `[batches, weights]`.
    ///
    /// - Parameters: as of ``withGradients(of:parameters:kept:_:)``.
    /// - Throws: `.badData` for no batch.
    public func gradientRows(
        on batches: [LabeledBatch], parameters places: [Int]? = nil, kept: [Int]? = nil
    ) throws -> Tensor {
        try withGradients(of: batches, parameters: places, kept: kept) { try $0.rows() }
    }
}
