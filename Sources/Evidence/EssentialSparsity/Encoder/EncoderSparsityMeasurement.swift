import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Synchronization

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

    package init(texts: LetterTexts, size: EncoderSize, seeds: [UInt64], progress: any ProgressReporter) throws {
        let total = EncoderTrial.partCount(size) * seeds.count
        progress.report(
            "encoders of \(size.layers) layers of width \(size.width), \(size.pretrainingSteps) steps of "
                + "\(size.pretrainingBatch) windows of \(size.context) letters; "
                + texts.collections.map { "\($0.name): \($0.pretraining.count) letters" }.joined(separator: ", "))
        progress.begin("train encoders", total: total, unit: "parts")
        let finished = Mutex(0)
        let trials = try sideBySide(seeds) { seed in
            try EncoderTrial(texts, size: size, seed: seed) {
                finished.withLock { done in
                    done += 1
                    progress.advance(to: min(done, total), note: "seed \(seed)")
                }
            }
        }
        progress.end("\(total) parts")
        let network = MaskedLanguageEncoder(size.configuration)
        let prunable = try PrunableNetwork(network, targets: MaskedEncoder.prunableWeights)
        self.init(
            size: size, trials: trials,
            letters: texts.collections.first.map { $0.pretraining.count + $0.tuning.count + $0.heldOut.count } ?? 0,
            prunableCount: prunable.count)
    }

    // MARK: - Over seeds

    /// The curves of a label in a report, seed by seed.
    static func series(_ reports: [SparsityReport?], _ label: String) -> [SparsityReport.Series] {
        reports.compactMap { $0?.series.first { $0.label == label } }
    }

    /// After fine-tuning, from the pre-trained weights.
    func tuned(_ label: String) -> [SparsityReport.Series] { Self.series(trials.map(\.tuned), label) }

    /// After fine-tuning, from initial weights.
    func fresh(_ label: String) -> [SparsityReport.Series] { Self.series(trials.map(\.fresh), label) }

    /// From initial weights that are trained until they have learned the task.
    func freshTrained(_ label: String) -> [SparsityReport.Series] { Self.series(trials.map(\.freshTrained), label) }

    /// Magnitude after fine-tuning another pre-training.
    func tuned(_ kind: EncoderPretraining.Kind) -> [SparsityReport.Series] {
        kind == .masked
            ? tuned(Label.global) : Self.series(trials.map { $0.tunedOthers[kind] }, Label.global)
    }

    /// Without fine-tuning: the loss of gaps.
    func zeroShot(_ kind: EncoderPretraining.Kind, _ label: String) -> [SparsityReport.Series] {
        Self.series(trials.map { $0.pretrainings[kind]?.sweep }, label)
    }

    func pretrainings(_ kind: EncoderPretraining.Kind) -> [EncoderPretraining] {
        trials.compactMap { $0.pretrainings[kind] }
    }

    /// The mean curve over seeds; all have the same sparsities. Nil of none.
    static func meanCurve(_ series: [SparsityReport.Series]) -> SparsityCurve? {
        guard let first = series.first else { return nil }
        return SparsityCurve(
            sparsities: first.points.map(\.sparsity),
            losses: first.points.indices.map { index in
                SeedStatistics(series.map { $0.points[index].loss }).mean
            })
    }

    /// The mean loss over seeds at a point of the curves; NaN where there is none.
    static func mean(_ series: [SparsityReport.Series], at index: Int) -> Double {
        SeedStatistics(series.compactMap { $0.points.indices.contains(index) ? $0.points[index].loss : nil }).mean
    }

    /// Mean over seeds of the loss of one less that of the other at a point.
    static func gap(_ a: [SparsityReport.Series], _ b: [SparsityReport.Series], at index: Int) -> Double {
        mean(a, at: index) - mean(b, at: index)
    }

    /// The knee of magnitude after fine-tuning.
    var knee: TwoSegmentFit? { Self.meanCurve(tuned(Label.global))?.kneeFit() }

    /// Near-zero shares at the checkpoints, means over seeds.
    func nearZeroCourse(_ kind: EncoderPretraining.Kind) -> [Double] {
        let courses = pretrainings(kind).map(\.nearZeroCourse)
        return (courses.first ?? []).indices.map { index in SeedStatistics(courses.map { $0[index] }).mean }
    }
}
