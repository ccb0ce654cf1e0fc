import CoppiceCompression

extension EncoderSparsityMeasurement {
    package var tables: [ExperimentReport.Table] {
        [
            .init(title: "Encoder: test accuracy after fine-tuning, %", accuracyTable),
            .init(
                title: "Encoder: N:M patterns, test accuracy after fine-tuning, %",
                PatternCurves.table([(name: "accuracy", patterns: patternCurves)])),
            .init(
                title: "Encoder: one-shot masks beside iterative ones",
                HTMLTable(
                    head: LotteryComparison.tableHead, rows: lotteryComparison.tableRows,
                    numericColumns: [0, 1, 2, 3, 4])),
            .init(title: "Encoder: what pre-training leaves", pretrainingTable),
            .init(title: "Encoder: weights near zero along pre-training", courses.nearZeroTable),
            .init(
                title: "Encoder: s_τ without fine-tuning along pre-training",
                courses.filter { $0.name != EncoderPretraining.Kind.supervised.rawValue }.toleranceTable),
            .init(title: "Encoder: loss of gaps without fine-tuning, nats", lossTable),
        ]
    }

    private func percent(_ series: [SparsityReport.Series], at place: Int?) -> String {
        guard let place else { return MarkupText.missing }
        return series.accuracy(at: place)
    }

    private var accuracyTable: HTMLTable {
        let rows = ([0] + EssentialSparsity.tenths).map { tenth -> [String] in
            let coarse =
                tenth == 0 ? 0 : EssentialSparsity.coarseSparsities.firstIndex(of: Double(tenth) / 10).map { $0 + 1 }
            return [MarkupText.number(Double(tenth) / 10)]
                + [Label.global, Label.layer, Label.random, Label.randomErdosRenyi].map {
                    percent(tuned($0), at: tenth)
                }
                + [lotteryComparison.accuracy(at: Double(tenth) / 10)]
                + [Label.global, Label.random].map { percent(fresh($0), at: coarse) }
                + [Label.global, Label.random].map { percent(freshTrained($0), at: coarse) }
                + EncoderTrial.comparedKinds.map { percent(tuned($0), at: tenth) }
        }
        return HTMLTable(
            head: [
                "sparsity", "magnitude", "layer by layer", "random", "random ERK", "iterative",
                "initial weights, magnitude",
                "initial weights, random",
                "initial weights, longer, magnitude", "initial weights, longer, random", "less data, magnitude",
                "supervised, magnitude",
            ], rows: rows, numericColumns: Set(0...11))
    }

    private var pretrainingTable: HTMLTable {
        let rows = EncoderPretraining.Kind.allCases.map { kind -> [String] in
            let (losses, errors) = (zeroShot(kind, Label.global), tuned(kind))
            let loss = losses.isEmpty ? MarkupText.missing : MarkupText.number(losses.meanLoss(at: 0))
            let points = [losses, errors].map {
                $0.isEmpty ? MarkupText.missing : MarkupText.number($0.tolerancePoint, digits: 3)
            }
            return [kind.rawValue, loss] + course(kind).lastShares + points
        }
        return HTMLTable(
            head: ["pre-training", "loss of gaps"] + PretrainingCourse.lastSharesHead
                + ["s_τ without fine-tuning", "s_τ fine-tuned"], rows: rows, numericColumns: Set(1...7))
    }

    private var lossTable: HTMLTable {
        let columns = [
            zeroShot(.masked, Label.global), zeroShot(.masked, Label.random), zeroShot(.decayed, Label.global),
            zeroShot(.lessData, Label.global),
        ]
        let rows = ([0] + EssentialSparsity.tenths).map { tenth in
            [MarkupText.number(Double(tenth) / 10)]
                + columns.map { MarkupText.number($0.meanLoss(at: tenth)) }
        }
        return HTMLTable(
            head: ["sparsity", "magnitude", "random", "weight decay 0.1, magnitude", "less data, magnitude"],
            rows: rows,
            numericColumns: Set(0...4))
    }
}
