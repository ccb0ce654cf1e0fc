import CoppiceModels
import CoppiceTensors

/// The experiment that checks one paper's claims.
///
/// A new one is a file or folder of this module and one line in ``Experiments/all``.
public protocol Experiment: Sendable {
    /// What `coppice reproduce` calls it, such as `essential-sparsity`.
    var identifier: String { get }
    /// The paper's title.
    var title: String { get }
    /// Authors, year and where to find it.
    var paper: String { get }
    /// What is measured, in one sentence.
    var summary: String { get }

    /// Measures and judges.
    ///
    /// The same setting gives the same report, to the bit.
    ///
    /// - Throws: `.badData` for a model or text that nothing can be measured on; what loading the model throws.
    func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport
}

/// Every experiment that there is.
public enum Experiments {
    /// In alphabetical order of their identifiers.
    public static let all: [any Experiment] = [
        BilevelPruningExperiment(),
        ConsensusPolarization(),
        EssentialSparsity(),
        GlobalMagnitude(),
        GrokkingTickets(),
        JourneyMatters(),
        RateDistortion(),
        LayerLotteryExperiment(),
        LotteryJackpots(),
        StabilizingTickets(),
        MFACExperiment(),
        OneShotCriteria(),
        SparsityPerspective(),
        PrecroppingExperiment(),
    ]

    /// The experiment of an identifier.
    ///
    /// - Throws: `.usage` for an unknown one, with the nearest that there is.
    public static func named(_ identifier: String) throws -> any Experiment {
        if let found = all.first(where: { $0.identifier == identifier }) { return found }
        throw CoppiceError(
            .usage, "there is no experiment \"\(identifier)\"\(Spelling.hint(identifier, all.map(\.identifier)))")
    }
}
