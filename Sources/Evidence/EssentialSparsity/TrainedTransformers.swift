import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Synchronization

/// The parts of the experiment that train networks of their own: language models, encoders of texts and vision
/// transformers.
///
/// The trials of all share the threads, so that none waits for the last seed of one part.
struct TrainedTransformers {
    let languageModel: LetterModelMeasurement
    let encoder: EncoderSparsityMeasurement
    let vision: VisionSparsityMeasurement

    /// Longest first, so that the last ones fill the threads evenly.
    private enum Part: String, CaseIterable {
        case encoder, vision
        case languageModel = "language model"
    }

    private enum Trial: Sendable {
        case languageModel(LetterModelTrial)
        case encoder(EncoderTrial)
        case vision(VisionSparsityTrial)
    }

    /// Trains and measures for each seed.
    init(
        texts: LetterTexts, size: EncoderSize, languageModel letterSize: LetterModelSize, task: VisionSparsityTask,
        seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        progress.report(
            "encoders of \(size.layers) layers of width \(size.width), \(size.pretrainingSteps) steps of "
                + "\(size.pretrainingBatch) windows of \(size.context) letters; "
                + texts.collections.map { "\($0.name): \($0.pretraining.count) letters" }.joined(separator: ", "))
        progress.report(
            "vision transformers of \(task.size.depth) blocks of width \(task.size.width), "
                + "\(task.size.pretrainingSteps) steps of \(task.size.pretrainingBatch) images; \(task.name): "
                + "\(task.pretraining.count) images of \(task.pretraining.classCount) classes")
        progress.report(
            "language models of \(letterSize.layers) layers of width \(letterSize.width), \(letterSize.steps) steps of "
                + "\(letterSize.batch) windows of \(letterSize.context) letters")
        let total =
            (EncoderTrial.partCount(size) + VisionSparsityTrial.partCount(task.size)
                + LetterModelTrial.partCount(letterSize)) * seeds.count
        progress.begin("train transformers", total: total, unit: "parts")
        let finished = Mutex(0)
        let jobs = Part.allCases.flatMap { part in seeds.map { (seed: $0, part: part) } }
        let trials = try sideBySide(jobs) { job -> Trial in
            func advance() {
                finished.withLock { done in
                    done += 1
                    progress.advance(to: min(done, total), note: "\(job.part.rawValue), seed \(job.seed)")
                }
            }
            switch job.part {
            case .encoder: return .encoder(try EncoderTrial(texts, size: size, seed: job.seed, progress: advance))
            case .vision: return .vision(try VisionSparsityTrial(task, seed: job.seed, progress: advance))
            case .languageModel:
                return .languageModel(
                    try LetterModelTrial(texts, size: letterSize, seed: job.seed, progress: advance))
            }
        }
        progress.end("\(total) parts")
        languageModel = try LetterModelMeasurement(
            size: letterSize,
            trials.compactMap { if case .languageModel(let trial) = $0 { trial } else { nil } })
        encoder = try EncoderSparsityMeasurement(
            texts: texts, size: size, trials.compactMap { if case .encoder(let trial) = $0 { trial } else { nil } })
        vision = try VisionSparsityMeasurement(
            task, trials.compactMap { if case .vision(let trial) = $0 { trial } else { nil } })
    }
}

// MARK: - In the report

/// What the parts say, in the order of the report.
extension TrainedTransformers {
    var protocolText: String {
        [
            LetterModelMeasurement.protocolText, EncoderSparsityMeasurement.protocolText,
            VisionSparsityMeasurement.protocolText,
        ].joined(separator: " ")
    }

    var facts: [ExperimentReport.Fact] { languageModel.facts + encoder.facts + vision.facts }

    var claims: [Claim] { languageModel.claims + encoder.claims + vision.claims }

    /// The same without data to train on.
    static var openClaims: [Claim] {
        LetterModelMeasurement.openClaims + EncoderSparsityMeasurement.openClaims + VisionSparsityMeasurement.openClaims
    }

    var illustrations: [ExperimentReport.Illustration] {
        languageModel.illustrations + encoder.illustrations + vision.illustrations
    }

    var tables: [ExperimentReport.Table] { languageModel.tables + encoder.tables + vision.tables }

    var notes: [String] { encoder.notes + vision.notes }
}
