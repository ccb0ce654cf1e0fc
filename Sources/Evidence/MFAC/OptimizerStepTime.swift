import CoppiceModels
import CoppiceNetworks
import CoppiceTraining

/// What a training step takes with an optimizer, of the processors' time while it was measured.
package struct OptimizerStepTime: Sendable {
    package var workload: TrainingBenchmark.Workload
    package var rule: TrainingBenchmark.Rule
    /// Seconds of the median step.
    package var seconds: Double

    package init(workload: TrainingBenchmark.Workload, rule: TrainingBenchmark.Rule, seconds: Double) {
        (self.workload, self.rule, self.seconds) = (workload, rule, seconds)
    }

    /// Measures SGD, AdamW and M-FAC in f32 and bf16 in turns, so that what else the machine does meets all alike.
    ///
    /// - Parameters:
    ///   - window: gradients of M-FAC.
    ///   - steps: of a turn.
    static func measure(
        _ workload: TrainingBenchmark.Workload, window: Int, steps: Int, turns: Int = 5
    ) throws -> [OptimizerStepTime] {
        let rules: [TrainingBenchmark.Rule] = [
            .sgd, .adamw, .mfac(gradients: window), .mfac(gradients: window, storage: .bf16),
        ]
        var seconds = [[Double]](repeating: [], count: rules.count)
        for _ in 0..<turns {
            for (index, rule) in rules.enumerated() {
                seconds[index] += try TrainingBenchmark.measure(workload, rule: rule, steps: steps).processorSeconds
            }
        }
        return zip(rules, seconds).map { rule, times in
            OptimizerStepTime(workload: workload, rule: rule, seconds: times.sorted()[times.count / 2])
        }
    }
}

extension [OptimizerStepTime] {
    /// How many times as long as with SGD; nil where that was not measured.
    func ratio(_ own: OptimizerStepTime) -> Double? {
        first { $0.workload == own.workload && $0.rule == .sgd }.map { own.seconds / $0.seconds }
    }

    /// None of no measurement.
    var tables: [ExperimentReport.Table] {
        guard !isEmpty else { return [] }
        let rows = map { own in
            [
                own.workload.rawValue, "\(own.rule)", MarkupText.number(own.seconds * 1e3),
                ratio(own).map { MarkupText.number($0) } ?? "–",
            ]
        }
        return [
            .init(
                title: "Milliseconds of processor time of a median step of 128 images",
                HTMLTable(head: ["network", "optimizer", "ms", "times SGD"], rows: rows, numericColumns: [2, 3]))
        ]
    }

    var json: JSON {
        .array(
            map { own in
                .object([
                    "workload": .string(own.workload.rawValue), "optimizer": .string("\(own.rule)"),
                    "seconds": .number(own.seconds), "times_sgd": ratio(own).map(JSON.number) ?? .null,
                ])
            })
    }
}
