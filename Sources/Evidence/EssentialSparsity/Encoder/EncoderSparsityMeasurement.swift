import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Everything that the encoder's part of the essential-sparsity experiment measures, seed by seed.
package struct EncoderSparsityMeasurement: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label

    var size: EncoderSize
    package var trials: [EncoderTrial]
    /// Letters of each collection that are used.
    var letters: Int
    /// Prunable weights.
    var prunableCount: Int

    init(size: EncoderSize, trials: [EncoderTrial], letters: Int, prunableCount: Int) {
        self.size = size
        self.trials = trials
        self.letters = letters
        self.prunableCount = prunableCount
    }

    /// What encoders are trained on where the setting names a data folder, and how much; else nil.
    ///
    /// - Throws: `.noInput` for a folder without the collections, naming the file that is missing.
    static func texts(in setting: ExperimentSetting) throws -> (texts: LetterTexts, size: EncoderSize)? {
        guard let folder = setting.dataFolder else { return nil }
        let size = (setting.isFull ? EncoderSize.large : .small).scaled(by: setting.scale)
        return (try LetterTexts(folder: folder, limit: size.letters), size)
    }

    /// What trials on some texts have found.
    package init(texts: LetterTexts, size: EncoderSize, _ trials: [EncoderTrial]) throws {
        let network = MaskedLanguageEncoder(size.configuration)
        let prunable = try PrunableNetwork(network, targets: EncoderTask.prunableWeights)
        self.init(
            size: size, trials: trials,
            letters: texts.collections.first.map { $0.pretraining.count + $0.tuning.count + $0.heldOut.count } ?? 0,
            prunableCount: prunable.count)
    }

    // MARK: - Over seeds

    /// After fine-tuning, from the pre-trained weights.
    func tuned(_ label: String) -> [SparsityReport.Series] { .init(label, in: trials.map(\.tuned)) }

    /// After fine-tuning, from initial weights.
    func fresh(_ label: String) -> [SparsityReport.Series] { .init(label, in: trials.map(\.fresh)) }

    /// From initial weights that are trained until they have learned the task.
    func freshTrained(_ label: String) -> [SparsityReport.Series] { .init(label, in: trials.map(\.freshTrained)) }

    /// Magnitude after fine-tuning another pre-training.
    func tuned(_ kind: EncoderPretraining.Kind) -> [SparsityReport.Series] {
        kind == .masked
            ? tuned(Label.global) : .init(Label.global, in: trials.map { $0.tunedOthers[kind] })
    }

    /// Without fine-tuning: the loss of gaps.
    func zeroShot(_ kind: EncoderPretraining.Kind, _ label: String) -> [SparsityReport.Series] {
        .init(label, in: trials.map { $0.pretrainings[kind]?.sweep })
    }

    func pretrainings(_ kind: EncoderPretraining.Kind) -> [EncoderPretraining] {
        trials.compactMap { $0.pretrainings[kind] }
    }

    /// The knee of magnitude after fine-tuning.
    var knee: TwoSegmentFit? { tuned(Label.global).meanCurve?.kneeFit() }

    /// What the checkpoints of a pre-training show.
    func course(_ kind: EncoderPretraining.Kind) -> PretrainingCourse {
        PretrainingCourse(kind.rawValue, pretrainings(kind).map(\.checkpoints))
    }

    /// Those of all pre-trainings.
    var courses: [PretrainingCourse] { EncoderPretraining.Kind.allCases.map(course) }

    var lotteryComparison: LotteryComparison {
        LotteryComparison(levels: trials.map(\.iterative), oneShot: tuned(Label.global), knee: knee)
    }

    var patternCurves: PatternCurves { PatternCurves { tuned($0) } }
}
