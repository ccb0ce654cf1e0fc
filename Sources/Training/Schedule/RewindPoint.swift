import CoppiceTensors
import Foundation

/// A step of training, in whichever unit it was said: how early the weights are that a ticket trains from, or that a run
/// keeps.
public enum RewindPoint: Sendable, Hashable, CustomStringConvertible {
    case step(Int)
    case epochs(Double)
    /// A part of the training, from 0 to below 1.
    case share(Double)

    /// Reads `500it` or `500`, `0.5ep`, `2%`.
    ///
    /// - Throws: `.usage` naming the option.
    public init(_ text: String, option: String = "rewind") throws {
        func number(_ suffix: String) -> Double? {
            guard text.hasSuffix(suffix), let value = Double(text.dropLast(suffix.count)), value >= 0, value < 1e9
            else { return nil }
            return value
        }
        let digits = text.hasSuffix("it") ? String(text.dropLast(2)) : text
        if let steps = Int(digits), steps >= 0 {
            self = .step(steps)
        } else if let epochs = number("ep") {
            self = .epochs(epochs)
        } else if let percent = number("%"), percent < 100 {
            self = .share(percent / 100)
        } else {
            throw CoppiceError(
                .usage, field: option,
                "\"\(text.prefix(40))\", expected iterations such as 500it, epochs such as 0.5ep, or a part of training "
                    + "such as 2%")
        }
    }

    /// As it is read.
    public var description: String {
        switch self {
        case .step(let step): "\(step)it"
        case .epochs(let epochs): "\(epochs)ep"
        case .share(let share): "\((share * 1e10).rounded() / 1e8)%"
        }
    }

    /// The step, rounded to the nearest.
    ///
    /// - Parameter epochSteps: steps of an epoch, not whole in general.
    public func step(of totalSteps: Int, epochSteps: Double) -> Int {
        switch self {
        case .step(let step): step
        case .epochs(let epochs): Int((epochs * epochSteps).rounded())
        case .share(let share): Int((share * Double(totalSteps)).rounded())
        }
    }
}
