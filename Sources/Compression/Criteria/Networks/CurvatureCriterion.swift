import CoppiceNetworks
import CoppiceTensors

/// wₖ² / (2 [F⁻¹]ₖₖ), with F a dampened empirical Fisher matrix of the weights that are kept: how much the loss grows, to
/// second order, when the weight goes and, as far as F couples weights, the others make up for it.
///
/// A conforming type says which part of F is looked at. The same F gives the change of the other weights: see
/// ``SurgeonPruning``.
public protocol CurvatureCriterion: NetworkCriterion {
    /// How gradients are taken.
    var sampling: GradientSampling { get }

    /// F⁻¹ of gradients `[m, d]`.
    func inverse(_ gradients: Tensor) throws -> any InverseCurvature

    /// F⁻¹ of gradients that come one after the other.
    func inverse(of gradients: GradientStream) throws -> any InverseCurvature

    /// Bytes that F⁻¹ of m gradients of d weights takes while it is made.
    func byteCount(gradients m: Int, weights d: Int) -> Int

    /// The option of a recipe that decides the memory, and what would fit in the words of a recipe.
    func advice(gradients m: Int, weights d: Int, limit: Int) -> (field: String, expected: String)
}

/// How the gradients of a Fisher matrix are taken from labelled batches.
public struct GradientSampling: Sendable, Hashable {
    /// The most gradients m; the first ones that the batches give.
    public var count: Int
    /// Examples whose mean loss gives one gradient.
    public var batchSize: Int
    /// What gradients are rounded to where all are kept (``MFACCriterion``).
    public var storage = GradientStorage.f32
    /// Bytes that the Fisher matrix may take.
    public var memoryLimit = FlatParameters.memoryLimit

    public init(count: Int = 64, batchSize: Int = 32, storage: GradientStorage = .f32) {
        precondition(count > 0 && batchSize > 0, "\(count) gradients of \(batchSize) examples")
        self.count = count
        self.batchSize = batchSize
        self.storage = storage
    }

    /// The gradients that batches give: fewer than ``count`` where there are not enough examples.
    func gradientCount(of batches: [LabeledBatch]) -> Int {
        min(count, batches.reduce(0) { $0 + ($1.count + batchSize - 1) / batchSize })
    }

    /// The examples of each gradient, in order; the last may have fewer.
    func parts(of batches: [LabeledBatch]) -> [LabeledBatch] {
        var parts: [LabeledBatch] = []
        for batch in batches {
            for start in stride(from: 0, to: batch.count, by: batchSize) where parts.count < count {
                let range = start..<min(start + batchSize, batch.count)
                parts.append(
                    LabeledBatch(
                        inputs: batch.inputs.slice(axis: 0, range).contiguous(),
                        targets: batch.targets.slice(axis: 0, range).contiguous()))
            }
        }
        return parts
    }
}

extension CurvatureCriterion {
    public var needsData: Bool { true }

    /// Removed weights have the score 0. O(m) forward and backward passes and one inverse.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        try KeptWeights(of: network).scores(try curvature(of: network, on: batches))
    }

    /// F⁻¹ of the weights that a network keeps.
    ///
    /// - Throws: `.badData` for gradients that are not finite; `.usage` for more memory than allowed, which says what
    ///   would fit.
    public func curvature(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> any InverseCurvature {
        let parts = sampling.parts(of: batches)
        let layout = KeptWeights(of: network).layout
        try checkMemory(gradients: parts.count, weights: layout.count)
        return try network.network.withGradients(of: parts, parameters: network.places, kept: layout.kept) {
            try inverse(of: $0)
        }
    }

    /// - Throws: `.usage` for more memory than allowed, which says what would fit.
    func checkMemory(gradients m: Int, weights d: Int) throws {
        let (bytes, limit) = (byteCount(gradients: m, weights: d), sampling.memoryLimit)
        guard bytes > limit else { return }
        let advice = advice(gradients: m, weights: d, limit: limit)
        throw CoppiceError(
            .usage, field: advice.field,
            "\(m) gradients of \(d) weights take \(bytes >> 20) MB with method \(Self.name), more than the limit of "
                + "\(limit >> 20) MB: expected \(advice.expected)")
    }
}

/// The kept weights of a network as one vector.
struct KeptWeights {
    let layout: FlatParameters
    let values: Tensor

    init(of network: PrunableNetwork) {
        let counts = network.weights.map(\.count)
        var kept: [Int]?
        if network.removedCount > 0 {
            var places: [Int] = []
            var start = 0
            for mask in network.masks {
                let flags = mask.indicator.floats()
                places += flags.indices.filter { flags[$0] > 0 }.map { start + $0 }
                start += mask.count
            }
            kept = places
        }
        layout = FlatParameters(counts: counts, kept: kept)
        values = layout.row(network.weights.indices.map(network.values))
    }

    /// The saliency of each weight of the network, zeros for removed ones.
    func scores(_ inverse: any InverseCurvature) throws -> [Tensor] {
        layout.parts(
            of: OptimalBrainSurgeon.saliencies(of: values, inverseDiagonal: inverse.diagonal()).converted(to: .f32))
    }
}

/// The Fisher matrix as its diagonal: optimal brain damage (LeCun, Denker and Solla, 1990) with the empirical Fisher
/// matrix for the Hessian.
public struct FisherDiagonalCriterion: CurvatureCriterion {
    public static let name = "obd"
    public var sampling: GradientSampling
    public var dampening: Double

    public init(sampling: GradientSampling = GradientSampling(), dampening: Double = 1e-5) {
        self.sampling = sampling
        self.dampening = dampening
    }

    public func inverse(_ gradients: Tensor) throws -> any InverseCurvature {
        try DiagonalInverseFisher(gradients: gradients, dampening: dampening)
    }

    public func inverse(of gradients: GradientStream) throws -> any InverseCurvature {
        try gradients.check()
        var sums = DiagonalFisherSums(count: gradients.layout.count)
        try gradients.forEach { try sums.push($0) }
        return try sums.inverse(dampening: dampening)
    }

    /// The sums of squares and what is made of them.
    public func byteCount(gradients m: Int, weights d: Int) -> Int { 16 * d }

    public func advice(gradients m: Int, weights d: Int, limit: Int) -> (field: String, expected: String) {
        ("method", "fewer weights, by targets or ignore")
    }
}

/// The Fisher matrix in blocks of consecutive weights (Singh and Alistarh, "WoodFisher", 2020).
public struct WoodFisherCriterion: CurvatureCriterion {
    public static let name = "woodfisher"
    public var sampling: GradientSampling
    public var dampening: Double
    /// Weights of a block, counted over the weights that are kept.
    public var blockSize: Int

    public init(sampling: GradientSampling = GradientSampling(), dampening: Double = 1e-5, blockSize: Int = 128) {
        self.sampling = sampling
        self.dampening = dampening
        self.blockSize = blockSize
    }

    public func inverse(_ gradients: Tensor) throws -> any InverseCurvature {
        try BlockInverseFisher(gradients: gradients, dampening: dampening, blockSize: blockSize)
    }

    /// Blocks are summed up as gradients come, where that takes less than all gradients do.
    public func inverse(of gradients: GradientStream) throws -> any InverseCurvature {
        try gradients.check()
        let d = gradients.layout.count
        guard sumsTakeLess(gradients: gradients.count, weights: d) else { return try inverse(try gradients.rows()) }
        var sums = try BlockFisherSums(count: d, blockSize: blockSize)
        try gradients.forEach { try sums.push($0) }
        return try sums.inverse(dampening: dampening)
    }

    public func byteCount(gradients m: Int, weights d: Int) -> Int {
        min(BlockFisherSums.byteCount(weights: d, blockSize: blockSize), rowBytes(gradients: m, weights: d))
    }

    /// All gradients, and what the inverse keeps.
    private func rowBytes(gradients m: Int, weights d: Int) -> Int { 4 * d * (m + min(m, blockSize, d)) }

    private func sumsTakeLess(gradients m: Int, weights d: Int) -> Bool {
        BlockFisherSums.byteCount(weights: d, blockSize: blockSize) < rowBytes(gradients: m, weights: d)
    }

    public func advice(gradients m: Int, weights d: Int, limit: Int) -> (field: String, expected: String) {
        let gradients = limit / (8 * d)
        let fits =
            (Self.largestBlock(weights: d, limit: limit).map { ["a block_size of at most \($0)"] } ?? [])
            + (gradients > 0 ? ["at most \(gradients) gradients"] : [])
        return ("block_size", fits.isEmpty ? "method obd" : fits.joined(separator: ", or "))
    }

    /// The most weights of a block whose sums fit, as recipes allow them; nil where not even single weights do.
    static func largestBlock(weights d: Int, limit: Int) -> Int? {
        let size = BlockFisherSums.largestBlockSize(weights: d, bytes: limit)
        return size > 0 ? min(size, blockSizes.upperBound) : nil
    }

    /// Sizes of blocks that a recipe may ask for.
    static let blockSizes = 1...8192
}

/// The Fisher matrix whole, over all weights of the network (Frantar, Kurtic and Alistarh, "M-FAC", 2021).
public struct MFACCriterion: CurvatureCriterion {
    public static let name = "m-fac"
    public var sampling: GradientSampling
    public var dampening: Double

    public init(sampling: GradientSampling = GradientSampling(), dampening: Double = 1e-5) {
        self.sampling = sampling
        self.dampening = dampening
    }

    public func inverse(_ gradients: Tensor) throws -> any InverseCurvature {
        try InverseFisher(
            gradients: gradients, dampening: dampening, storage: sampling.storage == .bf16 ? .bf16 : nil)
    }

    public func inverse(of gradients: GradientStream) throws -> any InverseCurvature {
        try inverse(try gradients.rows(in: sampling.storage))
    }

    public func byteCount(gradients m: Int, weights d: Int) -> Int { m * d * sampling.storage.byteCount }

    public func advice(gradients m: Int, weights d: Int, limit: Int) -> (field: String, expected: String) {
        func fitting(_ storage: GradientStorage) -> Int { limit / (d * storage.byteCount) }
        let own = fitting(sampling.storage)
        var fits = own > 0 ? ["at most \(own) gradients"] : []
        if sampling.storage == .f32, fitting(.bf16) > 0 { fits.append("at most \(fitting(.bf16)) with storage: bf16") }
        if let size = WoodFisherCriterion.largestBlock(weights: d, limit: limit) {
            fits.append("method woodfisher with a block_size of at most \(size)")
        }
        return ("gradients", fits.isEmpty ? "method obd" : fits.joined(separator: ", or "))
    }
}
