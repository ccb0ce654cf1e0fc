import CoppiceCompression
import CoppiceModels
import Foundation

/// What stages that learn or choose by themselves did, for people.
extension StageReport {
    /// Rounds and saliencies as tables, swaps of masks and what learning them took; empty of other stages.
    var lines: [String] {
        var lines = rounds.map(roundLines) ?? []
        if let saliencies { lines += saliencyLines(saliencies) }
        if let swaps {
            lines.append(
                "stage \(stage): entered the masks in each tenth of the steps: "
                    + swaps.map(String.init).joined(separator: " "))
        }
        if let work { lines += workLines(work) }
        return lines
    }

    private func roundLines(_ rounds: [Round]) -> [String] {
        func percent(_ share: Double?) -> String { share.map { Output.number($0 * 100, digits: 1) + " %" } ?? "" }
        func number(_ value: Double?) -> String { value.map { Output.number($0, digits: 4) } ?? "" }
        let rows = rounds.enumerated().map { index, round in
            let next = index + 1 < rounds.count ? rounds[index + 1].density : nil
            return [
                "\(round.round)", percent(round.density), number(round.index), number(round.indexPruned),
                percent(next.map { 1 - $0 / round.density }), number(round.accuracy), number(round.accuracyPruned),
                number(round.validation), round.round == keptRound ? "kept" : "",
            ]
        }
        let titles = [
            "round", "density", "PQ index", "index pruned", "removed", "accuracy", "accuracy pruned", "validation", "",
        ]
        return ["stage \(stage):"] + TextTable(head: titles.map { ($0, .right) }, rows: rows).lines
    }

    private func saliencyLines(_ saliencies: SaliencyHistogram) -> [String] {
        let rows = saliencies.decades.map { ["1e\($0.exponent)", "\($0.removed)", "\($0.kept)"] }
        let zeros = saliencies.zeros > 0 ? ", \(saliencies.zeros) zero" : ""
        return ["stage \(stage): saliencies of the last removal, by powers of ten\(zeros)"]
            + TextTable(head: ["from", "removed", "kept"].map { ($0, .right) }, rows: rows).lines
    }

    private func workLines(_ work: Work) -> [String] {
        let own = work.weightSteps + work.maskSteps
        let times = Output.number(Double(work.iterativeSteps) / Double(max(1, own)), digits: 1)
        return [
            "stage \(stage): one run of \(work.weightSteps) steps of weights and \(work.maskSteps) of masks; iterative "
                + "pruning by fifths to as few takes \(work.iterativeLevels) levels × "
                + "\(String(format: "%g", work.epochs)) epochs: \(work.iterativeSteps) steps, \(times) times as many"
        ]
    }
}
