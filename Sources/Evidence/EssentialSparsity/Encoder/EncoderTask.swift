import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The task that encoders are fine-tuned on: whether a passage begins where a word begins or inside one.
///
/// What is before the passage is hidden: the first token, which the classifier reads, is a gap. Half of the passages
/// are of each kind, so that guessing is right on half. Passages for learning, for testing and for pre-training are
/// from different parts of the collections.
package struct EncoderTask: Sendable {
    let size: EncoderSize
    let texts: LetterTexts
    /// What is learned from.
    let training: TensorBatches
    /// What is tested on, in eight parts.
    let testing: [LabeledBatch]
    /// Gaps of held-out texts, in eight parts.
    let gaps: [LabeledBatch]

    static let classCount = 2
    /// The matrices of the layers: attention and feed-forward, without embeddings and heads.
    static let prunableWeights = [WeightPattern("encoder.layer")]

    init(_ texts: LetterTexts, size: EncoderSize, seed: UInt64) {
        self.texts = texts
        self.size = size
        let learned = Self.passages(of: texts.collections.map(\.tuning), size.tuningPassages, size, seed: seed)
        training = TensorBatches(
            inputs: learned.inputs, targets: learned.targets, batchSize: size.tuningBatch, seed: seed)
        // The same tests for every seed.
        let tested = Self.passages(of: texts.collections.map(\.heldOut), size.testPassages, size, seed: 0)
        testing = TensorBatches.covering(
            inputs: tested.inputs, targets: tested.targets, size: (tested.inputs.shape[0] + 7) / 8)
        let windows = MaskedLetters(
            texts: texts.collections.map(\.heldOut), length: size.context, batchSize: (size.heldOutWindows + 7) / 8,
            seed: 0)
        gaps = (0..<8).map { windows.batch(at: $0) }
    }

    /// Fine-tuning as the paper has it, at this model's rate.
    var tuning: SupervisedTraining {
        SparsityAnalysis.FineTuning.training(steps: size.tuningSteps, learningRate: size.tuningRate)
    }

    /// Longer and at a higher rate, for initial weights.
    var control: SupervisedTraining {
        SparsityAnalysis.FineTuning.training(steps: size.controlSteps, learningRate: size.controlRate)
    }

    /// So many passages, from one text after the other, and whether each begins where a word does; kinds take turns.
    package static func passages(
        of texts: [[Int]], _ count: Int, _ size: EncoderSize, seed: UInt64
    ) -> (inputs: Tensor, targets: Tensor) {
        var generator = RandomGenerator(seed: seed, stream: 1)
        var (inputs, targets): ([Int], [Int]) = ([], [])
        while targets.count < count {
            let text = texts[targets.count / classCount % texts.count]
            var window = LetterTexts.window(of: text, length: size.context, using: &generator)
            let beginsWord = window[0] == LetterTexts.space
            guard window[1] != LetterTexts.space, (beginsWord ? 1 : 0) == targets.count % classCount else { continue }
            window[0] = LetterTexts.mask
            inputs += window
            targets.append(beginsWord ? 1 : 0)
        }
        return (Tensor(inputs, shape: [count, size.context]), Tensor(targets))
    }
}

/// Windows of texts labelled with the collection that they are from, as a function of the step: what a supervised
/// pre-training sees.
struct LabelledLetters: BatchSource {
    let texts: [[Int]]
    let length: Int
    let batchSize: Int
    let seed: UInt64

    var batchesPerEpoch: Int { max(1, texts.reduce(0) { $0 + $1.count } / (batchSize * length)) }

    func batch(at step: Int) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: step))
        let classes = (0..<batchSize).map { (step * batchSize + $0) % texts.count }
        let windows = classes.flatMap { LetterTexts.window(of: texts[$0], length: length, using: &generator) }
        return LabeledBatch(inputs: Tensor(windows, shape: [batchSize, length]), targets: Tensor(classes))
    }
}
