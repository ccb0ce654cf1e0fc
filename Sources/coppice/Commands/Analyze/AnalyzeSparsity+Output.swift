import CoppiceCompression
import CoppiceModels
import Foundation

/// What is said of what was found.
extension AnalyzeSparsity {
    typealias Named = (name: String, result: SparsityAnalysis.Result)

    func json(_ found: Found, _ earlier: [Named]) -> JSON {
        let changes = SparsityAnalysis.nearZeroThresholds.indices.map { index in
            ChangePoint(earlier.map { $0.result.nearZeroFractions[index] })
        }
        return .object([
            "model": .string(model.model), "protocol": .string(course.rawValue),
            "measured_on": .string(found.measuredOn), "norm_batches": .integer(normBatches ?? 0),
            "analysis": found.result.json,
            "checkpoints": .array(
                earlier.map { .object(["name": .string($0.name), "analysis": $0.result.json]) }),
            "change_points": .array(
                changes.map { change in
                    change.map {
                        .object([
                            "largest_jump_at": .string(earlier[$0.largestJumpIndex].name),
                            "largest_jump": .number($0.largestJump),
                            "level_shift_at": .string(earlier[$0.cumulativeSumIndex].name),
                            "level_shift": .number($0.levelShift),
                        ])
                    } ?? .null
                }),
        ])
    }

    func lines(_ found: Found, _ earlier: [Named]) -> [String] {
        let sweep = found.result.sweep
        let measure = sweep.measure
        func percent(_ value: Double) -> String { "\(Output.number(100 * value, digits: 1)) %" }
        func interval(_ value: SparsityReport.Interval?) -> String {
            value.map { " (95 %: \(percent($0.low)) to \(percent($0.high)))" } ?? ""
        }
        func shown(_ loss: Double) -> String {
            "\(measure.rawValue) \(Output.number(measure.value(loss), digits: 4))"
        }
        var lines = [
            "protocol: \(course.rawValue)"
                + (normBatches.map { ", statistics of norms from \($0) batches of training images" } ?? ""),
            "measured on \(found.measuredOn); knowing nothing: \(shown(sweep.chanceLoss))",
        ]
        for series in sweep.series {
            lines.append("\(series.label)")
            lines.append(
                "  free up to \(percent(series.tolerancePoint))" + interval(series.tolerancePointInterval)
                    + ": at most \(percent(tolerance)) of what was learned is lost")
            if let knee = series.knee {
                let ratio = knee.slopeRatio
                lines.append(
                    "  breaks at \(percent(knee.breakpoint))" + interval(series.kneeInterval) + ", "
                        + (ratio.isFinite
                            ? "\(Output.number(ratio, digits: 1)) times as steep behind it" : "flat before")
                        + (knee.isSharp ? "" : " (not sharp)"))
            }
            for point in series.points { lines.append("  \(percent(point.sparsity))  \(shown(point.loss))") }
        }
        let thresholds = SparsityAnalysis.nearZeroThresholds.map { String(format: "%g", $0) }.joined(separator: ", ")
        func nearZero(_ result: SparsityAnalysis.Result) -> String {
            result.nearZeroFractions.map { String(format: "%.3f %%", 100 * $0) }.joined(separator: ", ")
        }
        lines.append("weights below \(thresholds) of their matrix's RMS: \(nearZero(found.result))")
        for (weight, sparsity) in found.result.starved {
            lines.append("warning: \(weight) loses more than 95 % at \(percent(sparsity)) of all")
        }
        for (name, earlier) in earlier {
            lines.append(
                "\(name): free up to \(percent(earlier.sweep.series[0].tolerancePoint)), near zero \(nearZero(earlier))"
            )
        }
        return lines
    }
}
