import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// What a network is measured on under masks, in shards that are reported apart, and what a model that knows nothing
/// would reach there.
public struct SparsityEvaluation {
    public let measure: SparsityMeasure
    /// The loss, or the share of errors, of a model that knows nothing.
    public let chanceLoss: Double
    /// What each shard counts in the mean; nil: all alike.
    public let shardSizes: [Int]?
    /// The loss, or the share of errors, on each shard; NaN where the network's answers are no numbers.
    let losses: (any SupervisedNetwork) -> [Double]

    public init(
        by measure: SparsityMeasure, chanceLoss: Double, shardSizes: [Int]? = nil,
        losses: @escaping (any SupervisedNetwork) -> [Double]
    ) {
        (self.measure, self.chanceLoss, self.shardSizes, self.losses) = (measure, chanceLoss, shardSizes, losses)
    }

    /// Shards in which things are dealt where nothing else is said, or fewer.
    public static let shardCount = 8

    /// The members of each shard: dealt in turns.
    static func deal(_ count: Int, into shardCount: Int) -> [[Int]] {
        let shards = max(1, min(shardCount, count))
        return (0..<shards).map { Array(stride(from: $0, to: count, by: shards)) }
    }
}

/// Texts by the loss in nats a token.
extension SparsityEvaluation {
    /// A decoder on windows of a text.
    ///
    /// - Parameter windows: all of one length of at least two tokens.
    /// - Throws: `.badData` when there is no window.
    public init(
        windows: [[Int]], vocabularySize: Int, shardCount: Int = SparsityEvaluation.shardCount
    ) throws {
        guard let length = windows.first?.count, length > 1, windows.allSatisfy({ $0.count == length }) else {
            throw CoppiceError(.badData, "the evaluation text has no window of two or more tokens")
        }
        let shards = Self.deal(windows.count, into: shardCount).map { members in
            let (own, shape) = (members.map { windows[$0] }, [members.count, length - 1])
            return LabeledBatch(
                inputs: Tensor(own.flatMap { $0.dropLast() }, shape: shape),
                targets: Tensor(own.flatMap { $0.dropFirst() }, shape: shape))
        }
        self.init(shards, vocabularySize: vocabularySize)
    }

    /// An encoder that fills gaps on windows of a text of which some tokens are hidden, the same in every measurement.
    ///
    /// - Parameters:
    ///   - windows: all of one length, without the tokens that begin and end texts.
    ///   - seed: of the tokens that are hidden.
    /// - Throws: `.badData` when there is no window, or no token of a shard is hidden.
    public init(
        windows: [[Int]], frame: EncoderCheckpoint.TextFrame, vocabularySize: Int,
        shardCount: Int = SparsityEvaluation.shardCount, seed: UInt64
    ) throws {
        guard let length = windows.first?.count, length > 0, windows.allSatisfy({ $0.count == length }) else {
            throw CoppiceError(.badData, "the evaluation text has no window")
        }
        let source = MaskedWindows(
            windows[0], length: length + 2, batchSize: 1, frame: frame, vocabularySize: vocabularySize, seed: seed)
        var generator = RandomGenerator(seed: seed)
        let shards = Self.deal(windows.count, into: shardCount).map { members in
            source.batch(of: members.map { windows[$0] }, using: &generator)
        }
        guard shards.allSatisfy({ $0.targets.integers().contains { $0 >= 0 } }) else {
            throw CoppiceError(.badData, "the evaluation text is too short: no token of a part of it is hidden")
        }
        self.init(shards, vocabularySize: vocabularySize)
    }

    /// One batch a shard.
    private init(_ shards: [LabeledBatch], vocabularySize: Int) {
        self.init(by: .loss, chanceLoss: log(Double(vocabularySize))) { network in
            network.inUse { shards.map { Double(network.loss($0).scalar) } }
        }
    }
}

/// Examples with a label each, by accuracy or by cross-entropy.
extension SparsityEvaluation {
    /// Examples that are read together.
    private static let (imagesPerBatch, textsPerBatch) = (250, 32)

    /// Images or series, in shards at random.
    public init(
        _ images: ImageDataSet, by measure: SparsityMeasure = .accuracy,
        shardCount: Int = SparsityEvaluation.shardCount, seed: UInt64
    ) {
        self.init(images.labels, by: measure, shardCount, seed) { members in
            AnySequence(images.subset(members).batches(of: Self.imagesPerBatch))
        }
    }

    /// Texts, in shards at random.
    public init(
        _ texts: EncodedTexts, by measure: SparsityMeasure = .accuracy,
        shardCount: Int = SparsityEvaluation.shardCount, seed: UInt64
    ) {
        self.init(texts.labels, by: measure, shardCount, seed) { members in
            AnySequence(texts.batches(of: Self.textsPerBatch, among: members))
        }
    }

    private init(
        _ labels: [Int], by measure: SparsityMeasure, _ shardCount: Int, _ seed: UInt64,
        batches: (_ members: [Int]) -> AnySequence<LabeledBatch>
    ) {
        // Not as they come: files may be in the order of their labels.
        let order = EpochOrder(count: labels.count, seed: seed)
        let members = Self.deal(labels.count, into: shardCount).map { $0.map(order.index(ofSample:)) }
        let shards = members.map(batches)
        self.init(by: measure, chanceLoss: measure.chance(labels), shardSizes: members.map(\.count)) { network in
            shards.map { shard in
                let found = Classification(of: network, on: shard)
                guard measure == .accuracy, found.loss.isFinite else { return found.loss }
                return Double(found.count - found.correct) / Double(found.count)
            }
        }
    }
}
