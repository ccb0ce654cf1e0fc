import CoppiceModels

/// Test accuracies of what an experiment compares (its arms) at some settings, such as the part of weights kept; one of
/// each seed.
package struct ArmAccuracies<Arm: Hashable & Sendable>: Sendable {
    private struct Key: Hashable, Sendable {
        var arm: Arm
        var setting: Double
    }

    private var values: [Key: [Double]] = [:]

    package init() {}

    /// Adds a seed's accuracy, a fraction.
    package mutating func add(_ accuracy: Double, of arm: Arm, at setting: Double) {
        values[Key(arm: arm, setting: setting), default: []].append(accuracy)
    }

    /// The accuracies of an arm, in the order of the seeds; empty where there are none.
    package func accuracies(of arm: Arm, at setting: Double) -> [Double] {
        values[Key(arm: arm, setting: setting)] ?? []
    }

    /// The mean over seeds; NaN where there are none.
    package func mean(_ arm: Arm, at setting: Double) -> Double { statistics(arm, at: setting).mean }

    /// By how many percentage points an arm's mean is above another's, over the first seeds that both have; NaN where
    /// one was not measured.
    package func lead(of arm: Arm, over other: Arm, at setting: Double) -> Double {
        let (own, others) = (accuracies(of: arm, at: setting), accuracies(of: other, at: setting))
        let count = min(own.count, others.count)
        return 100 * (SeedStatistics(own.prefix(count)).mean - SeedStatistics(others.prefix(count)).mean)
    }

    func statistics(_ arm: Arm, at setting: Double) -> SeedStatistics {
        SeedStatistics(accuracies(of: arm, at: setting))
    }

    /// A row of each arm, a column of each setting: mean and standard deviation in percent.
    func table(
        _ title: String, arms: [(arm: Arm, name: String)], settings: [(value: Double, name: String)]
    ) -> ExperimentReport.Table {
        let rows = arms.map { own in
            [own.name]
                + settings.map { setting -> String in
                    let found = statistics(own.arm, at: setting.value)
                    return found.values.isEmpty ? "" : found.percent
                }
        }
        return .init(
            title: title,
            HTMLTable(
                head: [""] + settings.map(\.name), rows: rows, numericColumns: Set(1...max(1, settings.count))))
    }

    /// A list of `{arm, setting, accuracies}`.
    func json(arms: [(arm: Arm, name: String)], settings: [Double]) -> JSON {
        .array(
            arms.flatMap { own in
                settings.compactMap { setting -> JSON? in
                    let found = accuracies(of: own.arm, at: setting)
                    guard !found.isEmpty else { return nil }
                    return .object([
                        "arm": .string(own.name), "setting": .number(setting),
                        "accuracies": .array(found.map { .number($0) }),
                    ])
                }
            })
    }
}
