import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Trains the kept weights on the answers of a teacher as well as on the labels.
///
/// Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015): the loss is
/// (1 − α) CE + α T² KL(teacher ‖ student) of outputs divided by the temperature T.
public struct Distillation: Recovery {
    public var training: SupervisedTraining
    public var teacher: any SupervisedNetwork
    public var temperature: Double
    /// α: the teacher's part of the loss.
    public var teacherShare: Double
    public var trains: ((_ parameterName: String) -> Bool)?

    public init(
        _ training: SupervisedTraining, teacher: any SupervisedNetwork, temperature: Double = 4,
        teacherShare: Double = 0.9, trains: ((_ parameterName: String) -> Bool)? = nil
    ) {
        precondition(temperature > 0 && (0...1).contains(teacherShare), "no distillation")
        self.training = training
        self.teacher = teacher
        self.temperature = temperature
        self.teacherShare = teacherShare
        self.trains = trains
    }

    public var hooks: [any TrainingHook] {
        [TeacherLoss(teacher, temperature: temperature, share: teacherShare, labelSmoothing: training.labelSmoothing)]
    }
}

/// Adds what brings a loss of labels to (1 − α) CE + α T² KL(teacher ‖ student).
final class TeacherLoss: TrainingHook {
    private let teacher: any SupervisedNetwork
    private let temperature: Double
    private let share: Double
    private let labelSmoothing: Double

    /// - Parameter labelSmoothing: that of the loss of labels.
    init(_ teacher: any SupervisedNetwork, temperature: Double, share: Double, labelSmoothing: Double) {
        self.teacher = teacher
        self.temperature = temperature
        self.share = share
        self.labelSmoothing = labelSmoothing
    }

    var readsOutputs: Bool { true }

    func penalty(_ step: Int, batch: LabeledBatch, outputs: Tensor?) -> Tensor? {
        guard let outputs else { return nil }
        let answers = teacher.inUse { teacher.outputs(batch.inputs) } / temperature
        let own = outputs / temperature
        // KL = Σ p (log p − log q); rows are examples.
        let target = answers.softmax()
        let logTarget = answers - answers.logSumExp(axis: -1, keepingDimensions: true)
        let logOwn = own - own.logSumExp(axis: -1, keepingDimensions: true)
        let rows = Double(own.count / own.shape[own.rank - 1])
        let divergence = (target * (logTarget - logOwn)).sum() / rows
        let labels = outputs.meanCrossEntropy(targets: batch.targets, smoothing: labelSmoothing)
        return (divergence * (temperature * temperature) - labels) * share
    }
}
