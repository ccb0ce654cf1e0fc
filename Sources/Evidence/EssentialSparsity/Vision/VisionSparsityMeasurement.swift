import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Everything that the vision transformers' part of the essential-sparsity experiment measures, seed by seed.
package struct VisionSparsityMeasurement: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label
    package typealias Kind = VisionPretraining.Kind

    package var trials: [VisionSparsityTrial]
    /// Prunable weights.
    package var prunableCount: Int
    /// Classes that are fine-tuned on.
    package var classCount: Int
    /// What the report says of networks, images and training.
    var facts: [ExperimentReport.Fact]

    package init(
        trials: [VisionSparsityTrial], prunableCount: Int, classCount: Int, facts: [ExperimentReport.Fact] = []
    ) {
        self.trials = trials
        self.prunableCount = prunableCount
        self.classCount = classCount
        self.facts = facts
    }

    /// What vision transformers are trained on where the setting names a data folder; else nil.
    ///
    /// - Throws: what opening the images throws; as the task's initializer.
    static func task(in setting: ExperimentSetting) throws -> VisionSparsityTask? {
        guard let folder = setting.dataFolder else { return nil }
        let path = try PublishedData.cifar10.locate(in: folder)
        return try VisionSparsityTask(
            training: try .open(path, split: .train), test: try .open(path, split: .test),
            size: (setting.isFull ? VisionSparsitySize.large : .small).scaled(by: setting.scale))
    }

    /// What trials of a task have found.
    package init(_ task: VisionSparsityTask, _ trials: [VisionSparsityTrial]) throws {
        let prunable = try PrunableNetwork(
            VisionTransformer(task.configuration), targets: VisionSparsityTask.prunableWeights)
        self.init(
            trials: trials, prunableCount: prunable.count, classCount: task.classCount,
            facts: Self.facts(of: task, prunableCount: prunable.count, seeds: trials.map(\.seed)))
    }

    // MARK: - Over seeds

    /// After fine-tuning a pre-trained network.
    func tuned(_ kind: Kind, _ label: String = Label.global) -> [SparsityReport.Series] {
        .init(label, in: trials.map { $0.tuned[kind] })
    }

    /// After fine-tuning from initial weights.
    func fresh(_ label: String = Label.global) -> [SparsityReport.Series] { .init(label, in: trials.map(\.fresh)) }

    func pretrainings(_ kind: Kind) -> [VisionPretraining] { trials.compactMap { $0.pretrainings[kind] } }

    /// The knee of magnitude after fine-tuning.
    func knee(_ kind: Kind) -> TwoSegmentFit? { tuned(kind).meanCurve?.kneeFit() }

    /// What the checkpoints of a pre-training show.
    func course(_ kind: Kind) -> PretrainingCourse {
        PretrainingCourse(kind.rawValue, pretrainings(kind).map(\.checkpoints))
    }

    /// Those of both pre-trainings.
    var courses: [PretrainingCourse] { Kind.allCases.map(course) }

    func lotteryComparison(_ kind: Kind) -> LotteryComparison {
        LotteryComparison(levels: trials.compactMap { $0.iterative[kind] }, oneShot: tuned(kind), knee: knee(kind))
    }

    func patternCurves(_ kind: Kind) -> PatternCurves { PatternCurves { tuned(kind, $0) } }
}
