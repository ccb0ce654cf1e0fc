import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct JourneyMattersTests {
    private struct NoModel: Error {}

    private func setting(_ folder: String?) -> ExperimentSetting {
        var setting = ExperimentSetting(languageModel: { throw NoModel() }, dataFolder: folder, scale: 0.03, seed: 7)
        setting.seedCount = 1
        return setting
    }

    /// A few steps on a text of its own: every claim is judged, from the runs that it names.
    @Test func aSmallRunJudgesItsClaims() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/journey-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder + "/text", withIntermediateDirectories: true)
        let text = (0..<600).map { "A hen met \($0 % 7) owls and \($0 % 5) hares.\n" }.joined()
        try text.write(toFile: folder + "/text/tinyshakespeare.txt", atomically: true, encoding: .utf8)
        let report = try JourneyMatters().run(setting(folder), progress: SilentProgress())
        #expect(
            report.claims.map(\.id) == [
                "same-loss-as-average", "same-loss-as-dense", "better-than-final-size", "late-is-worse",
                "middle-is-near-optimal", "one-law", "one-law-for-all", "published-schedules", "large-models",
            ])
        let runs = try #require(report.json["data"]?["runs"]?.arrayValue)
        // Three windows and three baselines for each of two sparsities, three dense sizes at three lengths, and the
        // dense one of the compute.
        #expect(runs.count == 22)
        func loss(_ name: String) throws -> Double {
            try #require(runs.first { $0["name"]?.stringValue?.hasPrefix(name) == true }?["loss"]?.doubleValue)
        }
        // Trained: below guessing among all characters of the text.
        #expect(try loss("60 %, 25–75") < log(26))
        let late = try #require(report.claims.first { $0.id == "late-is-worse" })
        #expect(late.comparisons.count == 2)
        let difference = try loss("60 %, 70–97") - loss("60 %, 25–75")
        #expect(abs(late.comparisons[0].value - difference) < 1e-12)
        #expect((late.verdict == .holds) == late.comparisons.allSatisfy { $0.value >= 0.05 })
        let near = try #require(report.claims.first { $0.id == "middle-is-near-optimal" })
        #expect(near.comparisons.allSatisfy { $0.value >= 0 })
        let published = try #require(report.claims.first { $0.id == "published-schedules" })
        // Of the last model only the average size is known.
        #expect(published.verdict == .holds && published.comparisons.map(\.unit).filter { $0.isEmpty }.count == 4)
        #expect(published.comparisons.count == 10)
        #expect(report.claims.first { $0.id == "large-models" }?.verdict == .notMeasured)
        let sizes = Set(runs.compactMap { $0["final_parameters"]?.intValue })
        // 61, 40 and 20 % dense, and what is left of the sparse ones.
        #expect(sizes.count >= 4 && sizes.max() == 98_816)
        let equal = try #require(report.claims.first { $0.id == "same-loss-as-dense" })
        let ratio = try loss("60 %, 25–75") / loss("dense, 98816 weights") - 1
        #expect(equal.comparisons.count == 2 && abs(equal.comparisons[0].value - 100 * ratio) < 1e-9)
        #expect(report.illustrations.map(\.id) == ["density", "loss-by-size", "layers", "loss", "baselines"])
        // Other ways take the compute of 36 dense steps, and leave as many weights.
        let sparse = try #require(runs.first { $0["name"]?.stringValue == "60 %, 25–75 %" })
        for way in ["cubic ramp, 25–75 %", "at once, 50 %", "sparse from the start, RigL"] {
            let run = try #require(runs.first { $0["name"]?.stringValue == "60 %, " + way })
            let steps = try #require(run["steps"]?.intValue)
            let compute = try Double(steps) * #require(run["average_parameters"]?.doubleValue) / 98_816
            #expect(abs(compute - 36) < 1.5 && steps != sparse["steps"]?.intValue, "\(way): \(compute)")
            #expect(run["final_parameters"]?.intValue == sparse["final_parameters"]?.intValue, "\(way)")
            #expect(try #require(run["loss"]?.doubleValue) < log(26), "\(way)")
        }
        // At each sparsity four ways on the way, and two after the training of the dense one.
        let ways = report.tables[1].table.rows
        #expect(ways.count == 12 && ways.allSatisfy { $0.count == 5 })
        let dense = try #require(runs.first { $0["name"]?.stringValue?.hasPrefix("dense, 98816 weights") == true })
        let pruned = try #require(dense["pruned_afterwards"]?.arrayValue)
        #expect(pruned.map { $0["way"]?.stringValue } == ["Wanda", "SparseGPT", "Wanda", "SparseGPT"])
        for (index, outcome) in pruned.enumerated() {
            // Each of the fourteen projections loses its part, rounded down.
            let kept = Double(try #require(outcome["kept"]?.intValue))
            let part = 98_816 * (index < 2 ? 0.4 : 0.2)
            #expect(kept > part - 0.01 && kept < part + 14)
            // No longer the dense model.
            let after = try #require(outcome["loss"]?.doubleValue)
            let before = try loss("dense, 98816 weights")
            #expect(after.isFinite && abs(after - before) > 1e-6)
        }
        #expect(runs.count { $0["pruned_afterwards"]?.arrayValue?.isEmpty == false } == 1)
        try checkLaw(report)
        let layers = try #require(report.illustrations[2].figure as? LineChart)
        // Two layers of seven projections, three windows.
        #expect(layers.series.count == 3 && layers.series.allSatisfy { $0.points.count == 14 })
        let losses = try #require(report.illustrations[3].figure as? LineChart)
        #expect(losses.series.count == 6 && losses.series.allSatisfy { $0.points.count > 2 })
        for run in runs where run["name"]?.stringValue?.hasPrefix("80 %") == true {
            #expect(run["final_parameters"]?.intValue == 98_816 - 98_816 * 8 / 10)
        }
    }

    /// The law's intervals are shown, and its errors are those of all that shrinks on the way: RigL does not.
    private func checkLaw(_ report: ExperimentReport) throws {
        let law = try #require(report.tables.first { $0.title == "The law of the dense runs" }).table.rows
        #expect(law.map(\.count) == [6, 6] && law[1].dropFirst().allSatisfy { $0.contains(" – ") })
        let errors = try #require(report.tables.first { $0.title.hasPrefix("Mean error of the law") }).table.rows
        #expect(errors.map { $0[1] } == ["2", "2", "2", "2", "2", "10"])
        let averages = try errors.map { try #require(Double($0[2].split(separator: " ")[0])) }
        #expect(abs(averages.dropLast().reduce(0, +) / 5 - averages[5]) < 0.011)
        let (middle, all) = (
            report.claims.first { $0.id == "one-law" }, report.claims.first { $0.id == "one-law-for-all" }
        )
        #expect(middle?.verdict != nil && (middle?.verdict == .notMeasured) == (all?.verdict == .notMeasured))
        if let comparison = all?.comparisons.first { #expect(abs(comparison.value - averages[5]) < 0.006) }
    }

    @Test func withoutDataItSaysWhatIsMissing() {
        #expect {
            try JourneyMatters().run(setting(nil), progress: SilentProgress())
        } throws: {
            ($0 as? CoppiceError)?.kind == .usage && "\($0)".contains("tinyshakespeare")
        }
    }
}
