import CoppiceTensors

/// What was measured along one training run.
public struct GrokkingCurve: Sendable, Hashable {
    /// One measurement, before the step of its number.
    public struct Point: Sendable, Hashable {
        public var step: Int
        public var trainAccuracy: Double
        public var testAccuracy: Double
        /// Mean losses in the network's own terms.
        public var trainLoss: Double
        public var testLoss: Double
        public var norms: WeightNorms

        public init(
            step: Int, trainAccuracy: Double, testAccuracy: Double, trainLoss: Double, testLoss: Double,
            norms: WeightNorms
        ) {
            self.step = step
            self.trainAccuracy = trainAccuracy
            self.testAccuracy = testAccuracy
            self.trainLoss = trainLoss
            self.testLoss = testLoss
            self.norms = norms
        }
    }

    public var points: [Point] = []
    /// The accuracy that counts as learned.
    public var threshold: Double

    public init(threshold: Double = 0.95) { self.threshold = threshold }

    /// t_train: the first measured step with the training accuracy at the threshold; nil where it never was.
    public var trainStep: Int? { points.first { $0.trainAccuracy >= threshold }?.step }
    /// t_test: the first measured step with the test accuracy at the threshold; nil where it never was.
    public var testStep: Int? { points.first { $0.testAccuracy >= threshold }?.step }

    /// τ_grok = t_test − t_train; nil where either never came.
    public var delay: Int? { trainStep.flatMap { train in testStep.map { $0 - train } } }

    /// τ_grok, or where generalization did not come while it was waited for, what it is at least (steps run minus
    /// t_train, or 0 where nothing was learned either).
    public var delayOrBound: (steps: Int, isBound: Bool) {
        if let delay { return (delay, false) }
        let last = points.last?.step ?? 0
        return (last - (trainStep ?? last), true)
    }

    private static let head = "step,train_accuracy,test_accuracy,train_loss,test_loss,l1_norm,l2_norm"

    /// Reads ``csv``. Norms of points are the means that it has, as those of one tensor.
    ///
    /// - Parameter source: what errors call it.
    /// - Throws: `.badData` naming the line that is no measurement.
    init(csv: String, threshold: Double, source: String) throws {
        self.init(threshold: threshold)
        let lines = csv.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first.map({ String($0) }) == Self.head else {
            throw CoppiceError(.badData, source: source, field: "line 1", "expected \(Self.head)")
        }
        for (index, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            let values = line.split(separator: ",", omittingEmptySubsequences: false)
            let numbers = values.dropFirst().compactMap { Double($0) }
            guard let step = values.first.flatMap({ Int($0) }), values.count == 7, numbers.count == 6 else {
                throw CoppiceError(
                    .badData, source: source, field: "line \(index + 1)", "expected a step and six numbers")
            }
            points.append(
                Point(
                    step: step, trainAccuracy: numbers[0], testAccuracy: numbers[1], trainLoss: numbers[2],
                    testLoss: numbers[3], norms: WeightNorms(l1OfEach: [numbers[4]], l2OfEach: [numbers[5]])))
        }
    }

    /// `step,train_accuracy,…`: a header and one line a measurement.
    public var csv: String {
        let lines = points.map { point in
            "\(point.step),\(point.trainAccuracy),\(point.testAccuracy),\(point.trainLoss),\(point.testLoss),"
                + "\(point.norms.l1),\(point.norms.l2)"
        }
        return ([Self.head] + lines).joined(separator: "\n") + "\n"
    }
}
