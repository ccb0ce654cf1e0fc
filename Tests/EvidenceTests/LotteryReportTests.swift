import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Reports on searches for tickets say what was measured.
@Suite struct LotteryReportTests {
    private let images: DrawnImages
    private let output: String

    init() throws {
        images = try DrawnImages(training: 100, test: 50)
        output = images.path + "/run"
    }

    private func recipe() throws -> ClassificationRecipe {
        try ClassificationRecipe(
            yaml: """
                seed: 1
                model: { architecture: lenet-300-100, width_multiplier: 0.1 }
                images: { directory: \(images.path)/fashion-mnist, validation: 0 }
                optimizer: { learning_rate: 0.05 }
                training: { epochs: 4, batch_size: 20 }
                """)
    }

    private func rows(_ csv: String) -> [[String]] {
        csv.split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
    }

    @Test func accuraciesAndVerdicts() throws {
        var settings = LotterySettings()
        (settings.levels, settings.pruneFraction, settings.replicates) = (2, 0.9, 2)
        settings.branches = [.reinit, .shuffle]
        let results = try LotteryRun(recipe(), settings, options: .init(output: output)).execute()
        let report = LotteryReport(results, title: "Tickets <1>")
        let dense = results.replicates.compactMap(\.dense?.accuracy)
        let threshold = (dense[0] + dense[1]) / 2 - abs(dense[0] - dense[1]) / 2.0.squareRoot()
        #expect(abs(try #require(results.verdict).threshold - threshold) < 1e-12)
        let lines = report.text.split(separator: "\n").map(String.init)
        // Facts, head, the dense network and two levels, what a star means.
        #expect(lines.count == 6 && lines[5].hasPrefix("* matches the dense network: at least"))
        #expect(lines[1].split(separator: " ") == ["level", "density", "ticket", "reinit", "shuffle"])
        let json = report.json
        for level in 1...2 {
            let own = try #require(json["levels"]?[level - 1])
            for branch in [nil, LotterySettings.Branch.reinit, .shuffle] {
                let values = results.accuracies(at: level, of: branch)
                let cell = try #require(branch.map { own["branches"]?[$0.rawValue] } ?? own["ticket"])
                let mean = (values[0] + values[1]) / 2
                #expect(abs(try #require(cell["mean"]?.doubleValue) - mean) < 1e-12)
                #expect(cell["matches"] == .bool(mean >= threshold))
            }
            let matches = ([nil] + [LotterySettings.Branch.reinit, .shuffle].map(Optional.some)).filter {
                results.accuracies(at: level, of: $0).reduce(0, +) / 2 >= threshold
            }
            #expect(lines[2 + level].filter { $0 == "*" }.count == matches.count)
        }
        #expect(json["levels"]?[1]?["layer_densities"]?["fc1.weight"]?.doubleValue != nil)
        let table = rows(report.csv)
        #expect(table.count == 1 + 2 * (1 + 2 * 3) && table.allSatisfy { $0.count == 10 })
        for row in table.dropFirst() where row[5] == "ticket" {
            let level = try #require(Int(row[2])), number = try #require(Int(row[0]))
            let own = results.replicates[number - 1].levels[level - 1]
            #expect(row[4] == "\(own.kept)" && Double(row[6]) == own.ticket?.accuracy)
        }
        #expect(report.figure.series.map(\.name) == ["ticket", "reinit", "shuffle", "matching"])
        #expect(report.figure.series[0].points.count == 3 && report.figure.series[1].points.count == 2)
        #expect(report.html.contains("Tickets &lt;1&gt;") && !report.html.contains("not complete"))
        #expect(report.files.map(\.name) == ["report.html", "accuracy.svg", "results.json", "results.csv"])
    }

    /// Of a run that has hardly begun there is a report too.
    @Test func reportsOfInterruptedRuns() throws {
        let interruption = TrainingInterruption()
        interruption.request()
        var settings = LotterySettings()
        settings.branches = [.oneShot]
        let results = try LotteryRun(recipe(), settings, options: .init(output: output)).execute(
            interruption: interruption)
        #expect(!results.isComplete && results.verdict == nil)
        let report = LotteryReport(results, title: "Tickets")
        #expect(report.html.contains("The run is not complete") && report.csv.split(separator: "\n").count == 1)
        #expect(report.json["dense"]?["mean"] == .null && report.text.contains("-"))
        #expect(!report.text.hasSuffix("\n") && !report.html.contains("<p class=\"note\"></p>"))
        let stability = try LotteryStability(
            recipe(), settings, points: [.step(0)], options: .init(output: output + "-stability")
        ).execute(interruption: interruption)
        let other = LotteryStabilityReport(stability, title: "Stability")
        #expect(other.html.contains("The run is not complete") && other.csv.split(separator: "\n").count == 1)
    }

    @Test func stabilityByStep() throws {
        var settings = LotterySettings()
        (settings.levels, settings.pruneFraction, settings.replicates) = (1, 0.8, 2)
        let results = try LotteryStability(
            recipe(), settings, points: [.step(0), .share(0.5)], options: .init(output: output)
        ).execute()
        let report = LotteryStabilityReport(results, title: "Stability")
        #expect(results.steps == [0, 10] && results.entries.count == 4)
        let lines = report.text.split(separator: "\n")
        #expect(lines.count == 2 + 4 && lines[2].contains("ticket") && lines[3].contains("shuffled"))
        let table = rows(report.csv)
        #expect(table.count == 1 + 2 * 4 && table[0].suffix(5).first == "l2_pruning")
        for (place, step) in [0, 10].enumerated() {
            let own = results.entries.filter { $0.step == step }
            let json = try #require(report.json["ks"]?[place])
            #expect(json["k"]?.intValue == step && json["share"]?.doubleValue == Double(step) / 20)
            for (key, value) in [
                ("l2_pruning", own.map(\.ticket.toPruning.euclidean)),
                ("angle_data_order", own.map(\.ticket.toDataOrder.angle)), ("barrier", own.map(\.ticket.path.barrier)),
            ] {
                #expect(abs(try #require(json["ticket"]?[key]?.doubleValue) - (value[0] + value[1]) / 2) < 1e-12)
            }
            #expect(json["shuffled"]?["replicates"]?[1]?["path_errors"]?.arrayValue?.count == 11)
            let line = try #require(table.first { $0[0] == "\(step)" && $0[2] == "2" && $0[4] == "shuffled" })
            #expect(Double(line[8]) == own[1].shuffled.toPruning.euclidean)
            #expect(Double(line[11]) == own[1].shuffled.toDataOrder.angle)
        }
        #expect(report.distances.series.map(\.points.count) == [2, 2, 2, 2])
        #expect(report.distances.series.first?.name == "ticket, L2 to dense")
    }
}
