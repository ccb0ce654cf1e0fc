import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Synchronization

/// The parts of the experiment that train networks of their own: encoders of texts and vision transformers.
///
/// The trials of both share the threads, so that none waits for the last seed of one part.
struct TrainedTransformers {
    let encoder: EncoderSparsityMeasurement
    let vision: VisionSparsityMeasurement

    private enum Trial: Sendable {
        case encoder(EncoderTrial)
        case vision(VisionSparsityTrial)
    }

    /// Trains and measures for each seed.
    init(
        texts: LetterTexts, size: EncoderSize, task: VisionSparsityTask, seeds: [UInt64],
        progress: any ProgressReporter
    ) throws {
        progress.report(
            "encoders of \(size.layers) layers of width \(size.width), \(size.pretrainingSteps) steps of "
                + "\(size.pretrainingBatch) windows of \(size.context) letters; "
                + texts.collections.map { "\($0.name): \($0.pretraining.count) letters" }.joined(separator: ", "))
        progress.report(
            "vision transformers of \(task.size.depth) blocks of width \(task.size.width), "
                + "\(task.size.pretrainingSteps) steps of \(task.size.pretrainingBatch) images; \(task.name): "
                + "\(task.pretraining.count) images of \(task.pretraining.classCount) classes")
        let total = (EncoderTrial.partCount(size) + VisionSparsityTrial.partCount(task.size)) * seeds.count
        progress.begin("train transformers", total: total, unit: "parts")
        let finished = Mutex(0)
        let jobs = seeds.map { (seed: $0, isOfTexts: true) } + seeds.map { (seed: $0, isOfTexts: false) }
        let trials = try sideBySide(jobs) { job -> Trial in
            func advance() {
                finished.withLock { done in
                    done += 1
                    progress.advance(
                        to: min(done, total), note: "\(job.isOfTexts ? "encoder" : "vision"), seed \(job.seed)")
                }
            }
            return job.isOfTexts
                ? .encoder(try EncoderTrial(texts, size: size, seed: job.seed, progress: advance))
                : .vision(try VisionSparsityTrial(task, seed: job.seed, progress: advance))
        }
        progress.end("\(total) parts")
        encoder = try EncoderSparsityMeasurement(
            texts: texts, size: size, trials.compactMap { if case .encoder(let trial) = $0 { trial } else { nil } })
        vision = try VisionSparsityMeasurement(
            task, trials.compactMap { if case .vision(let trial) = $0 { trial } else { nil } })
    }
}
