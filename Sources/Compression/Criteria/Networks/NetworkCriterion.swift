import CoppiceNetworks
import CoppiceTensors

/// How much the weights of a network matter, all looked at together: the smallest scores are removed first.
///
/// Formulas of one matrix are ``Criterion``s; ``EachMatrix`` makes a network's criterion of one.
public protocol NetworkCriterion: Sendable {
    /// The method's name in recipes.
    static var name: String { get }

    /// Whether scores need batches with labels.
    var needsData: Bool { get }

    /// One score per entry of each prunable weight. Leaves the network as it was.
    ///
    /// - Parameters:
    ///   - network: removed weights are zero in it.
    ///   - batches: labelled batches, at least one where ``needsData``.
    /// - Returns: f32, as many elements as each weight has, in the weights' order.
    func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor]
}

/// A criterion of matrices, applied to each weight of a network.
public struct EachMatrix: NetworkCriterion {
    public static let name = "matrix"
    public var criterion: any Criterion

    public init(_ criterion: any Criterion) { self.criterion = criterion }

    public var needsData: Bool { false }

    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        try network.weights.enumerated().map { index, weight in
            try criterion.scores(of: network.values(index), name: weight.name, inputNorms: nil)
        }
    }
}

extension NetworkCriterion where Self == EachMatrix {
    /// |w| (see ``MagnitudeCriterion``).
    public static var magnitude: EachMatrix { EachMatrix(MagnitudeCriterion()) }

    /// Independent uniform scores (see ``RandomCriterion``).
    public static func random(seed: UInt64) -> EachMatrix { EachMatrix(RandomCriterion(seed: seed)) }
}
