import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Full-batch training that is watched until it generalizes: AdamW with decoupled decay at a constant rate.
public struct GrokkingTraining: Sendable, Hashable {
    /// The longest run.
    public var steps: Int
    public var learningRate = 1e-3
    public var beta1 = 0.9
    public var beta2 = 0.98
    public var weightDecay = 1.0
    /// Steps between measurements.
    public var interval = 10
    /// The accuracy that counts as learned.
    public var threshold = 0.95
    /// The test accuracy at which a run ends before its steps do; nil for never.
    public var stopAccuracy: Double?

    public init(steps: Int) { self.steps = steps }

    /// What a run gives.
    public struct Run: Sendable {
        public var curve: GrokkingCurve
        /// The weights at the steps that were asked for and reached.
        public var snapshots: [Int: Snapshot]
        public var lastStep: Int
        /// The weights at the end.
        public var last: Snapshot
    }

    /// Trains a network from the weights that it has, on all training examples at each step.
    ///
    /// - Parameters:
    ///   - masked: keeps what it has removed at zero, in weights and in the optimizer.
    ///   - snapshots: steps whose weights are kept.
    ///   - hooks: what else acts on training, such as ``NormPenalty``.
    ///   - observe: told of each measurement.
    /// - Throws: `.usage` for steps or intervals that are not positive; `.badData` naming the step where the loss is not
    ///   finite; what `observe` throws.
    public func run(
        _ network: any SupervisedNetwork, on task: GrokkingTask, masked: PrunableNetwork? = nil,
        snapshots: Set<Int> = [], hooks: [any TrainingHook] = [],
        observe: (GrokkingCurve.Point) throws -> Void = { _ in }
    ) throws -> Run {
        guard steps > 0, interval > 0 else {
            throw CoppiceError(.usage, field: "steps", "\(steps) by \(interval), expected positive numbers")
        }
        let training = SupervisedTraining(
            optimizer: AdamW(beta1: beta1, beta2: beta2, weightDecay: weightDecay),
            rates: .init(kind: .constant, peak: learningRate, warmupSteps: 0, minimumRatio: 1, totalSteps: steps))
        let source = TensorBatches(
            inputs: task.train.inputs, targets: task.train.targets, batchSize: task.train.count)
        var all = hooks
        if let masked { all.append(MaskedTraining(masked)) }
        var state = OptimizerState(training.optimizer, for: network)
        var curve = GrokkingCurve(threshold: threshold)
        var kept: [Int: Snapshot] = [:]
        var step = 0
        while true {
            if snapshots.contains(step) { kept[step] = Snapshot(of: network) }
            if step.isMultiple(of: interval) || step == steps {
                let point = Self.measure(network, on: task, step: step)
                curve.points.append(point)
                try observe(point)
                if let stopAccuracy, point.testAccuracy >= stopAccuracy { break }
            }
            if step == steps { break }
            let ends = snapshots.filter { $0 > step } + [(step / interval + 1) * interval, steps]
            let next = ends.min() ?? steps
            try training.run(network, on: source, steps: step..<next, state: &state, hooks: all)
            step = next
        }
        return Run(curve: curve, snapshots: kept, lastStep: step, last: Snapshot(of: network))
    }

    /// Accuracies, losses and norms of a network as it is.
    public static func measure(
        _ network: any SupervisedNetwork, on task: GrokkingTask, step: Int = 0
    ) -> GrokkingCurve.Point {
        network.inUse {
            let (train, test) = (score(network, task.train), score(network, task.test))
            return GrokkingCurve.Point(
                step: step, trainAccuracy: train.accuracy, testAccuracy: test.accuracy, trainLoss: train.loss,
                testLoss: test.loss, norms: WeightNorms(of: network))
        }
    }

    private static func score(
        _ network: any SupervisedNetwork, _ batch: LabeledBatch
    ) -> (accuracy: Double, loss: Double) {
        let outputs = network.outputs(batch.inputs)
        let right = zip(outputs.argmax().integers(), batch.targets.integers()).count { $0 == $1 }
        // A network that is trained by another loss is measured by it, at the price of a second pass.
        let loss =
            network is any ArithmeticNetwork
            ? outputs.preciseCrossEntropy(targets: batch.targets) : network.loss(batch)
        return (Double(right) / Double(batch.count), loss.doubles()[0])
    }
}
