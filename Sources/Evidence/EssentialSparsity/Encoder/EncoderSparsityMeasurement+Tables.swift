import CoppiceCompression

extension EncoderSparsityMeasurement {
    package var tables: [ExperimentReport.Table] {
        [
            .init(title: "Encoder: test accuracy after fine-tuning, %", accuracyTable),
            .init(title: "Encoder: N:M patterns, test accuracy after fine-tuning, %", patternTable),
            .init(title: "Encoder: one-shot masks beside iterative ones", agreementTable),
            .init(title: "Encoder: what pre-training leaves", pretrainingTable),
            .init(title: "Encoder: along pre-training", courseTable),
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
            let iterative =
                tenth == 0
                ? MarkupText.missing : SeedStatistics(trials.map { 1 - $0.iterative[tenth - 1].error }).percent
            return [MarkupText.number(Double(tenth) / 10)]
                + [Label.global, Label.layer, Label.random, Label.randomErdosRenyi].map {
                    percent(tuned($0), at: tenth)
                }
                + [iterative] + [Label.global, Label.random].map { percent(fresh($0), at: coarse) }
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

    private var patternTable: HTMLTable {
        let rows = [(Label.groupsOfTwo, 2), (Label.groupsOfFour, 4), (Label.groupsOfEight, 8)].flatMap {
            label, length in
            (1..<length).map { removed in
                [
                    "\(length - removed):\(length)", MarkupText.number(Double(removed) / Double(length)),
                    percent(tuned(label), at: removed),
                ]
            }
        }
        return HTMLTable(head: ["pattern", "sparsity", "accuracy"], rows: rows, numericColumns: [1, 2])
    }

    private var agreementTable: HTMLTable {
        let rows = EssentialSparsity.sparsities.indices.map { place -> [String] in
            let agreement = trials.map { $0.iterative[place].agreement }
            return [
                MarkupText.number(EssentialSparsity.sparsities[place]), MarkupText.number(cosine(at: place)),
                MarkupText.number(SeedStatistics(agreement.map(\.expectedCosine)).mean),
                MarkupText.number(SeedStatistics(agreement.map(\.jaccard)).mean),
                MarkupText.number(-iterativeGap(at: place), digits: 3),
            ]
        }
        return HTMLTable(
            head: ["sparsity", "cosine", "cosine of random masks", "Jaccard", "one-shot − iterative, points"],
            rows: rows, numericColumns: [0, 1, 2, 3, 4])
    }

    private var pretrainingTable: HTMLTable {
        let rows = EncoderPretraining.Kind.allCases.map { kind -> [String] in
            let last = pretrainings(kind).compactMap { $0.checkpoints.last?.nearZero }
            let (losses, errors) = (zeroShot(kind, Label.global), tuned(kind))
            return [
                kind.rawValue, losses.isEmpty ? MarkupText.missing : MarkupText.number(losses.meanLoss(at: 0)),
                MarkupText.percent(SeedStatistics(last.map { $0[1] }).mean, places: 3),
                MarkupText.percent(SeedStatistics(last.map { $0[2] }).mean, places: 2),
                MarkupText.number(abruptness(kind), digits: 3),
                losses.isEmpty ? MarkupText.missing : MarkupText.number(losses.tolerancePoint, digits: 3),
                errors.isEmpty ? MarkupText.missing : MarkupText.number(errors.tolerancePoint, digits: 3),
            ]
        }
        return HTMLTable(
            head: [
                "pre-training", "loss of gaps", "|w| < 0.01 × RMS", "|w| < 0.1 × RMS", "largest rise / mean rise",
                "s_τ without fine-tuning", "s_τ fine-tuned",
            ], rows: rows, numericColumns: Set(1...6))
    }

    /// Shares of weights near zero and s_τ of the language models, checkpoint by checkpoint.
    private var courseTable: HTMLTable {
        let kinds = EncoderPretraining.Kind.allCases
        let languageModels = kinds.filter { $0 != .supervised }
        let steps = pretrainings(.masked).first?.checkpoints.map(\.step) ?? []
        let rows = steps.indices.map { index -> [String] in
            let shares = kinds.map { MarkupText.percent(nearZeroCourse($0)[index], places: 2) }
            let points = languageModels.map { kind -> String in
                let own = pretrainings(kind).compactMap { $0.checkpoints[index].tolerancePoint }
                return own.isEmpty ? MarkupText.missing : MarkupText.number(SeedStatistics(own).mean, digits: 3)
            }
            return ["\(steps[index])"] + shares + points
        }
        return HTMLTable(
            head: ["step"] + kinds.map { "near zero: \($0.rawValue)" } + languageModels.map { "s_τ: \($0.rawValue)" },
            rows: rows, numericColumns: Set(0...7))
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
