import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Hides tokens of texts, so that a model learns to fill them in: of all tokens 15 % are asked for; of these 80 % are
/// hidden, 10 % are other tokens and 10 % are as they were.
///
/// Source: Devlin et al., "BERT: Pre-training of deep bidirectional transformers for language understanding" (2019),
/// section 3.1.
public struct TokenMasking: Sendable, Hashable {
    /// What stands in the place of a hidden token.
    public var mask: Int
    /// Other tokens are drawn from these.
    public var ordinary: Range<Int>

    public init(mask: Int, ordinary: Range<Int>) {
        self.mask = mask
        self.ordinary = ordinary
    }

    /// Changes a window, and says for each place the token that is asked for there; -1 where none is.
    public func hide(in window: inout [Int], using generator: inout RandomGenerator) -> [Int] {
        window.indices.map { index in
            guard Double.random(in: 0..<1, using: &generator) < 0.15 else { return -1 }
            let own = window[index]
            switch Double.random(in: 0..<1, using: &generator) {
            case ..<0.8: window[index] = mask
            case ..<0.9: window[index] = Int.random(in: ordinary, using: &generator)
            default: break
            }
            return own
        }
    }
}

/// Windows of a text with hidden tokens, between the tokens that begin and end texts, as a pure function of the step.
public struct MaskedWindows: BatchSource {
    /// Of the text.
    public let tokens: [Int]
    /// Tokens of a window, of which two begin and end it.
    public let length: Int
    public let batchSize: Int
    public let seed: UInt64
    private let frame: EncoderCheckpoint.TextFrame
    private let masking: TokenMasking

    /// - Precondition: a length of three at least, and a text that is as long as what it leaves.
    public init(
        _ tokens: [Int], length: Int, batchSize: Int, frame: EncoderCheckpoint.TextFrame, vocabularySize: Int,
        seed: UInt64
    ) {
        precondition(length > 2 && tokens.count >= length - 2, "\(tokens.count) tokens for windows of \(length)")
        self.tokens = tokens
        self.length = length
        self.batchSize = batchSize
        self.seed = seed
        self.frame = frame
        masking = TokenMasking(mask: frame.mask, ordinary: 0..<vocabularySize)
    }

    /// Given windows of one length, without what begins and ends them, in batches with hidden tokens.
    ///
    /// - Parameter seed: of what is hidden; the size of batches changes nothing of it.
    public static func samples(
        of windows: [[Int]], batchSize: Int, frame: EncoderCheckpoint.TextFrame, vocabularySize: Int, seed: UInt64
    ) -> [LabeledBatch] {
        guard let first = windows.first else { return [] }
        let source = MaskedWindows(
            first, length: first.count + 2, batchSize: batchSize, frame: frame, vocabularySize: vocabularySize,
            seed: seed)
        var generator = RandomGenerator(seed: seed)
        return stride(from: 0, to: windows.count, by: batchSize).map { start in
            source.batch(of: Array(windows[start..<min(start + batchSize, windows.count)]), using: &generator)
        }
    }

    public var batchesPerEpoch: Int { max(1, tokens.count / (batchSize * (length - 2))) }

    public func batch(at step: Int) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: step))
        let windows = (0..<batchSize).map { _ in
            let start = Int.random(in: 0...(tokens.count - (length - 2)), using: &generator)
            return Array(tokens[start..<(start + length - 2)])
        }
        return batch(of: windows, using: &generator)
    }

    /// Given windows, as long as a batch's without what begins and ends them, with hidden tokens.
    public func batch(of windows: [[Int]], using generator: inout RandomGenerator) -> LabeledBatch {
        var (inputs, targets): ([Int], [Int]) = ([], [])
        for window in windows {
            var window = window
            let asked = masking.hide(in: &window, using: &generator)
            inputs += [frame.begin] + window + [frame.end]
            targets += [-1] + asked + [-1]
        }
        let shape = [windows.count, length]
        return LabeledBatch(inputs: Tensor(inputs, shape: shape), targets: Tensor(targets, shape: shape))
    }
}
