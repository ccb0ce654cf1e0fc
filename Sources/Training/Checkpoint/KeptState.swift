import CoppiceTensors

/// A step whose weights a run keeps beside the state that it resumes from.
public struct KeptState: Sendable, Hashable, Codable {
    /// Optimizer steps behind the weights.
    public var step: Int
    /// Of the whole run.
    public var totalSteps: Int
    /// Steps of an epoch, not whole in general.
    public var epochSteps: Double

    /// For people: `step 34, epoch 2.01`.
    var description: String {
        let epoch = (Double(step) / epochSteps * 100).rounded() / 100
        return "step \(step), epoch \(epoch)"
    }
}

/// The steps whose weights a run keeps.
struct KeptSteps {
    private let steps: Set<Int>
    private let totalSteps: Int
    private let epochSteps: Double

    /// - Parameter epochSteps: steps of an epoch, not whole in general.
    /// - Throws: `.usage` for a point behind the end of training.
    init(_ points: [RewindPoint], totalSteps: Int, epochSteps: Double) throws {
        steps = Set(
            try points.map { point in
                let step = point.step(of: totalSteps, epochSteps: epochSteps)
                guard step <= totalSteps else {
                    throw CoppiceError(
                        .usage, field: "--keep",
                        "\(point) is step \(step), expected at most the last of training, \(totalSteps)")
                }
                return step
            })
        self.totalSteps = totalSteps
        self.epochSteps = epochSteps
    }

    /// What to keep at a step; nil where nothing is asked for.
    func state(at step: Int) -> KeptState? {
        steps.contains(step) ? KeptState(step: step, totalSteps: totalSteps, epochSteps: epochSteps) : nil
    }

    /// The first of the steps behind one.
    func next(after step: Int) -> Int? { steps.filter { $0 > step }.min() }

    /// - Parameter isKept: whether the weights of a step are there.
    /// - Throws: `.usage` for a step that a resumed run is past and did not keep.
    func check(resumingAt step: Int, isKept: (Int) -> Bool) throws {
        guard let missed = steps.filter({ $0 < step && !isKept($0) }).min() else { return }
        throw CoppiceError(
            .usage, field: "--keep", "the run is at step \(step) and did not keep step \(missed), which is behind it")
    }
}
