/// How the curves of the allocation `rate-distortion` are measured, and its programme solved.
public struct RateDistortionOptions: Sendable, Hashable {
    /// What runs through the network.
    public enum Calibration: String, Sendable, Hashable, CaseIterable {
        /// Images, or windows of a text. No labels are looked at.
        case data
        /// Numbers from N(0, 1) in the shape of images.
        case gaussian
    }

    /// The file of curves that were measured before (``CurveFile``); nil: they are measured.
    public var curves: String?
    /// Steps of the grid of rates; nil: ``steps`` for vision networks, ``coarseSteps`` for language models.
    public var grid: Int?
    /// Images, or windows of a text; nil: ``images`` and ``windows``.
    public var samples: Int?
    public var distortion = OutputDistortion.mean
    public var calibration = Calibration.data
    public var solver = RateDistortionProblem.Solver.buckets(buckets)
    /// Whether the sparsity is of multiplications instead of weights.
    public var countsMultiplications = false

    public static let (steps, coarseSteps) = (20, 8)
    public static let (images, windows) = (128, 8)
    /// Buckets of the programme's budget.
    public static let buckets = 65_536

    public init() {}

    /// The grid, with rates near one that each halve what survives: more of them where much is to go.
    func grid(standard: Int, sparsity: Double) -> RateGrid {
        // Layers may end far above the sparsity of all.
        RateGrid(steps: grid ?? standard, refinements: sparsity >= 0.9 ? 5 : 2)
    }

    /// As a recipe would have them.
    var options: [String] {
        let name =
            switch solver {
            case .exact: "exact"
            case .buckets: "buckets"
            case .lagrangian: "lagrangian"
            }
        let measure =
            curves.map { ["curves: \"\($0)\""] }
            ?? (grid.map { ["grid: \($0)"] } ?? []) + (samples.map { ["samples: \($0)"] } ?? [])
            + ["distortion: \(distortion)", "calibration: \(calibration)"]
        var buckets: [String] = []
        if case .buckets(let count) = solver, count != Self.buckets { buckets = ["buckets: \(count)"] }
        return measure + ["solver: \(name)"] + buckets
            + (countsMultiplications ? ["of: multiplications"] : [])
    }
}
