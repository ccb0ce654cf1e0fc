import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension EncoderSparsityMeasurement {
    package var illustrations: [ExperimentReport.Illustration] { [accuracies, patternChart, courses, zeroShotLosses] }

    private func line(
        _ name: String, _ series: [SparsityReport.Series], _ value: (Double) -> Double = { (1 - $0) * 100 }
    ) -> LineChart.Series {
        let curve = Self.meanCurve(series)
        let points = zip(curve?.sparsities ?? [], curve?.losses ?? []).map { (x: $0, y: value($1)) }
        return LineChart.Series(name: name, points: points)
    }

    private var accuracies: ExperimentReport.Illustration {
        let iterative = EncoderTrial.sparsities.indices.map { place in
            (
                x: EncoderTrial.sparsities[place],
                y: (1 - SeedStatistics(trials.map { $0.iterative[place].error }).mean) * 100
            )
        }
        return .init(
            id: "encoder-accuracy",
            LineChart(
                title: "Encoder: accuracy after fine-tuning",
                summary:
                    "Test accuracy of a pre-trained encoder that is pruned in one shot and fine-tuned, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "test accuracy, %",
                series: [
                    line("magnitude", tuned(Label.global)), line("magnitude, layer by layer", tuned(Label.layer)),
                    LineChart.Series(name: "iterative (lottery ticket)", points: iterative),
                    line("random", tuned(Label.random)), line("random ERK", tuned(Label.randomErdosRenyi)),
                    line("magnitude, initial weights", fresh(Label.global)),
                    line("random, initial weights", fresh(Label.random)),
                ], marks: knee.map { [LineChart.Mark(x: $0.breakpoint, label: "knee")] } ?? []),
            caption: "Means over seeds. Guessing is right on 50 %.")
    }

    private var patternChart: ExperimentReport.Illustration {
        .init(
            id: "encoder-patterns",
            LineChart(
                title: "Encoder: N:M patterns after fine-tuning",
                summary: "Test accuracy of N:M patterns by sparsity beside unstructured magnitude pruning.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "test accuracy, %",
                series: [
                    line("magnitude", tuned(Label.global)), line("N:8", tuned(Label.groupsOfEight)),
                    line("N:4", tuned(Label.groupsOfFour)), line("N:2", tuned(Label.groupsOfTwo)),
                ]),
            caption: "Means over seeds.")
    }

    private var courses: ExperimentReport.Illustration {
        let series = EncoderPretraining.Kind.allCases.map { kind in
            LineChart.Series(
                name: kind.rawValue,
                points: zip(pretrainings(kind).first?.checkpoints.map(\.step) ?? [], nearZeroCourse(kind)).map {
                    (x: Double($0), y: $1 * 100)
                })
        }
        return .init(
            id: "near-zero-along-pre-training",
            LineChart(
                title: "Encoder: weights near zero along pre-training",
                summary: "Share of weights below a tenth of their matrix's root mean square, by step of pre-training.",
                horizontalTitle: "step of pre-training", verticalTitle: "per cent of weights", series: series),
            caption: "Means over seeds. A normal distribution has 7.97 % there.")
    }

    private var zeroShotLosses: ExperimentReport.Illustration {
        let kinds = EncoderPretraining.Kind.allCases.filter { $0 != .supervised }
        let magnitude = kinds.map { line($0.rawValue, zeroShot($0, Label.global)) { $0 } }
        return .init(
            id: "encoder-loss-by-sparsity",
            LineChart(
                title: "Encoder: loss of gaps without fine-tuning",
                summary: "Loss of masked language models that are pruned in one shot, by sparsity.",
                horizontalTitle: "share of layer weights removed", verticalTitle: "nats per gap",
                series: magnitude + [line("random", zeroShot(.masked, Label.random)) { $0 }]),
            caption: "Means over seeds, magnitude unless said.")
    }

    // MARK: - Tables

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
        return SeedStatistics(series.map { 1 - $0.points[place].loss }).percent
    }

    private var accuracyTable: HTMLTable {
        let rows = ([0] + EssentialSparsity.tenths).map { tenth -> [String] in
            let coarse = tenth == 0 ? 0 : EncoderTrial.coarse.firstIndex(of: Double(tenth) / 10).map { $0 + 1 }
            let iterative =
                tenth == 0
                ? MarkupText.missing : SeedStatistics(trials.map { 1 - $0.iterative[tenth - 1].error }).percent
            return [MarkupText.number(Double(tenth) / 10)]
                + [Label.global, Label.layer, Label.random, Label.randomErdosRenyi].map {
                    percent(tuned($0), at: tenth)
                }
                + [iterative] + [Label.global, Label.random].map { percent(fresh($0), at: coarse) }
                + EncoderTrial.comparedKinds.map { percent(tuned($0), at: tenth) }
        }
        return HTMLTable(
            head: [
                "sparsity", "magnitude", "layer by layer", "random", "random ERK", "iterative",
                "initial weights, magnitude",
                "initial weights, random", "less data, magnitude", "supervised, magnitude",
            ], rows: rows, numericColumns: Set(0...9))
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
        let rows = EncoderTrial.sparsities.indices.map { place -> [String] in
            let agreement = trials.map { $0.iterative[place].agreement }
            return [
                MarkupText.number(EncoderTrial.sparsities[place]), MarkupText.number(cosine(at: place)),
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
                kind.rawValue, losses.isEmpty ? MarkupText.missing : MarkupText.number(Self.mean(losses, at: 0)),
                MarkupText.percent(SeedStatistics(last.map { $0[1] }).mean, places: 3),
                MarkupText.percent(SeedStatistics(last.map { $0[2] }).mean, places: 2),
                MarkupText.number(abruptness(kind), digits: 3),
                losses.isEmpty ? MarkupText.missing : MarkupText.number(tolerancePoint(losses), digits: 3),
                errors.isEmpty ? MarkupText.missing : MarkupText.number(tolerancePoint(errors), digits: 3),
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
                + columns.map { MarkupText.number(Self.mean($0, at: tenth)) }
        }
        return HTMLTable(
            head: ["sparsity", "magnitude", "random", "weight decay 0.1, magnitude", "less data, magnitude"],
            rows: rows,
            numericColumns: Set(0...4))
    }

    // MARK: - Setting

    var facts: [ExperimentReport.Fact] {
        let configuration = size.configuration
        return [
            .init(
                "encoder",
                "RoBERTa, \(configuration.layerCount) layers of width \(configuration.hiddenSize), "
                    + "\(configuration.headCount) heads, \(prunableCount) prunable weights"),
            .init(
                "encoder's texts",
                "\(letters) letters and spaces of each of \(LetterTexts.files.map(\.0).joined(separator: ", "))"),
            .init(
                "pre-training",
                "\(size.pretrainingSteps) steps of \(size.pretrainingBatch) windows of \(size.context), AdamW, peak rate "
                    + "\(MarkupText.number(size.pretrainingRate)), \(size.checkpoints) checkpoints"),
            .init(
                "fine-tuning",
                "\(size.tuningSteps) steps of \(size.tuningBatch) of \(size.tuningPassages) passages, AdamW, rate "
                    + "\(MarkupText.number(size.tuningRate)) falling to 0; \(size.testPassages) test passages"),
            .init("encoder's seeds", trials.map { "\($0.seed)" }.joined(separator: ", ")),
        ]
    }

    static let protocolText =
        "Encoder, fine-tune protocol: encoders are pre-trained on gaps in windows of letters (15 % asked for), then "
        + "pruned in one shot and fine-tuned with the mask held, to say whether a passage, the letter before which is "
        + "hidden, begins where a word begins or inside one. \"Iterative\" trains, removes the next tenth of the weights, "
        + "rewinds the rest to the pre-trained ones and trains again. Every fine-tuning sees the same batches. s_τ allows "
        + "5 % of what is above guessing after fine-tuning, 1 % of what the loss is below guessing without."

    var notes: [String] {
        let starved = trials.compactMap { trial in
            trial.tuned.series.first { $0.label == Label.global }.map { trial.tuned.starvedWeights(in: $0) }
        }.flatMap { $0 }
        guard let first = starved.min(by: { $0.sparsity < $1.sparsity }) else { return [] }
        return [
            "In an encoder a global threshold leaves less than 5 % of \(first.weight) at "
                + "\(MarkupText.percent(first.sparsity)) in all, the first matrix to starve."
        ]
    }

    /// The numbers behind the claims.
    package var json: JSON {
        func curves(_ report: SparsityReport?) -> JSON {
            guard let report else { return .null }
            return .array(
                report.series.map { series in
                    .object([
                        "method": .string(series.label),
                        "sparsity": .array(series.points.map { .number($0.sparsity) }),
                        "loss": .array(series.points.map { .number($0.loss) }),
                        "tolerance_point": .number(series.tolerancePoint),
                    ])
                })
        }
        func pretraining(_ pretraining: EncoderPretraining) -> JSON {
            .object([
                "checkpoints": .array(
                    pretraining.checkpoints.map { checkpoint in
                        .object([
                            "step": .integer(checkpoint.step),
                            "near_zero": .array(checkpoint.nearZero.map { .number($0) }),
                            "tolerance_point": checkpoint.tolerancePoint.map { .number($0) } ?? .null,
                        ])
                    }), "zero_shot": curves(pretraining.sweep),
            ])
        }
        func byKind(_ value: (EncoderPretraining.Kind) -> JSON) -> JSON {
            .object(
                OrderedDictionary(EncoderPretraining.Kind.allCases.map { ($0.rawValue, value($0)) }) { first, _ in first
                })
        }
        return .object([
            "protocol": "fine-tune",
            "seeds": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(truncatingIfNeeded: trial.seed)),
                        "pretrainings": byKind { trial.pretrainings[$0].map(pretraining) ?? .null },
                        "fine_tuned": curves(trial.tuned), "initial_weights": curves(trial.fresh),
                        "fine_tuned_others": byKind { curves(trial.tunedOthers[$0]) },
                        "iterative": .array(
                            trial.iterative.map { level in
                                .object([
                                    "sparsity": .number(level.sparsity), "error": .number(level.error),
                                    "cosine": .number(level.agreement.cosine),
                                    "jaccard": .number(level.agreement.jaccard),
                                    "hamming": .number(level.agreement.hammingDistance),
                                ])
                            }),
                    ])
                }),
        ])
    }
}
