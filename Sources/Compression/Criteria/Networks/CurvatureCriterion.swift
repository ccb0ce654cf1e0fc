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
}

/// How the gradients of a Fisher matrix are taken from labelled batches.
public struct GradientSampling: Sendable, Hashable {
    /// The most gradients m; the first ones that the batches give.
    public var count: Int
    /// Examples whose mean loss gives one gradient.
    public var batchSize: Int
    /// Bytes that the gradients may take.
    public var memoryLimit = FlatParameters.memoryLimit

    public init(count: Int = 64, batchSize: Int = 32) {
        precondition(count > 0 && batchSize > 0, "\(count) gradients of \(batchSize) examples")
        self.count = count
        self.batchSize = batchSize
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
    /// - Throws: `.badData` for gradients that are not finite, naming the first; `.usage` for more memory than allowed.
    public func curvature(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> any InverseCurvature {
        let gradients = try network.network.gradientRows(
            on: sampling.parts(of: batches), parameters: network.places, kept: KeptWeights(of: network).layout.kept,
            limit: sampling.memoryLimit)
        return try inverse(gradients)
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
        try InverseFisher(gradients: gradients, dampening: dampening)
    }
}
