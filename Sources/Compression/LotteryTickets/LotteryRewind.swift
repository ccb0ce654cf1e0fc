import CoppiceTensors
import CoppiceTraining

/// What a search for tickets rewinds to: a step of the dense training that it does itself, or weights that another run
/// kept there.
public enum LotteryRewind: Sendable, Hashable, CustomStringConvertible {
    case point(RewindPoint)
    /// W_k of a training run, by the name that it was asked for with.
    case kept(RunCheckpoint, name: String)

    /// Reads `500it`, `0.5ep` and `2%`, or the name of a run and one of these, `OUTPUT.run@2ep`.
    ///
    /// - Throws: `.usage` naming the option; `.noInput` for a run that is not there or kept no such weights; `.badData` for
    ///   one that is damaged.
    public init(_ text: String, option: String = "rewind") throws {
        if RunCheckpoint.isRun(text) {
            self = .kept(try RunCheckpoint(text), name: text)
        } else if let at = text.lastIndex(of: "@") {
            throw CoppiceError(
                .noInput, source: String(text[..<at]), field: option,
                "there is no such run, expected the folder OUTPUT.run of coppice train --keep")
        } else {
            self = .point(try RewindPoint(text, option: option))
        }
    }

    public static func step(_ step: Int) -> LotteryRewind { .point(.step(step)) }
    public static func epochs(_ epochs: Double) -> LotteryRewind { .point(.epochs(epochs)) }
    public static func share(_ share: Double) -> LotteryRewind { .point(.share(share)) }

    /// The weights, where a run kept them.
    var checkpoint: RunCheckpoint? {
        if case .kept(let checkpoint, _) = self { return checkpoint }
        return nil
    }

    /// k.
    func step(of totalSteps: Int, epochSteps: Double) -> Int {
        switch self {
        case .point(let point): point.step(of: totalSteps, epochSteps: epochSteps)
        case .kept(let checkpoint, _): checkpoint.step
        }
    }

    /// As it is read.
    public var description: String {
        switch self {
        case .point(let point): "\(point)"
        case .kept(_, let name): name
        }
    }
}
