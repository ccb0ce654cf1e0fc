/// What a prune stage did step by step: a part of ``CompressionReport``.
public struct StageReport: Sendable, Hashable, Codable {
    /// A round of the schedule `sap`.
    public struct Round: Sendable, Hashable, Codable {
        /// From 0, the network before anything went.
        public var round: Int
        /// The part of the stage's weights that the round's training had.
        public var density: Double
        /// The PQ index of those weights after training.
        public var index: Double
        /// What went after it.
        public var removed: Int
        /// The index of what was left right after pruning; nil of the last round, after which nothing went.
        public var indexPruned: Double?
        /// The accuracy on the images that the report's is measured on, after training; nil without such images.
        public var accuracy: Double?
        /// Right after pruning.
        public var accuracyPruned: Double?
        /// The accuracy after training on images that neither trains nor is reported by ``accuracy``; where it chooses the
        /// round that is kept.
        public var validation: Double?
    }

    /// What learning masks along with weights took, and what iterative pruning to as few weights would take: a fifth of
    /// what is left goes at each level, and a training of the recipe follows.
    public struct Work: Sendable, Hashable, Codable {
        /// Batches that went forwards and backwards for weights.
        public var weightSteps: Int
        /// Batches that went forwards and backwards for masks.
        public var maskSteps: Int
        /// Of a training of the recipe.
        public var epochs: Double
        public var iterativeLevels: Int
        /// Batches of all levels.
        public var iterativeSteps: Int
    }

    /// What an allocation by rate and distortion gave a weight.
    public struct Rate: Sendable, Hashable, Codable {
        public var name: String
        /// The part that is removed.
        public var rate: Double
        /// The distortion of the outputs when it alone is pruned so, between the measured points on a line.
        public var distortion: Double
    }

    /// Channels that are left of those that go together.
    public struct Channels: Sendable, Hashable, Codable {
        /// The layer that makes them, the first of several.
        public var layer: String
        public var channels: Int
        public var kept: Int
    }

    /// Heads or neurons that are left in a block of a decoder.
    public struct Units: Sendable, Hashable, Codable {
        public var block: Int
        /// `head` or `neuron`.
        public var unit: String
        public var units: Int
        public var kept: Int
    }

    /// A block that may go as a whole: a residual block of a vision network, a layer or sub-layer of a language model.
    public struct Block: Sendable, Hashable, Codable {
        /// In the network before the stage.
        public var name: String
        public var score: Double
        public var removed: Bool
    }

    /// The place of the stage in the recipe.
    public var stage: Int
    public var rounds: [Round]?
    /// The round whose network is the result, where its accuracy chose it.
    public var keptRound: Int?
    public var rates: [Rate]?
    /// Where whole channels went.
    public var channels: [Channels]?
    /// Where whole heads or neurons went.
    public var units: [Units]?
    /// Where whole blocks went.
    public var blocks: [Block]?
    /// Multiplications for one example, before and after; where whole channels went, and, with the stage's weights that
    /// are kept, where a sparsity is of them.
    public var multiplicationsBefore: Int?
    public var multiplicationsAfter: Int?
    /// Gradients that the Fisher matrix of a criterion of curvature was made of: fewer than asked for where there were not
    /// enough examples.
    public var gradients: Int?
    /// Of the last removal, where kept weights make up for removed ones by a Fisher matrix.
    public var saliencies: SaliencyHistogram?
    /// Weights that entered the masks in each tenth of the steps; where masks were searched or learned.
    public var swaps: [Int]?
    /// Where masks were learned along with weights.
    public var work: Work?

    init(stage: Int) { self.stage = stage }

    /// Whether there is nothing to say.
    var isEmpty: Bool { self == StageReport(stage: stage) }

    /// Sums of counts over ten parts of the steps.
    static func tenths(_ counts: [Int]) -> [Int] {
        (0..<10).map { part in
            counts[(counts.count * part / 10)..<(counts.count * (part + 1) / 10)].reduce(0, +)
        }
    }
}
