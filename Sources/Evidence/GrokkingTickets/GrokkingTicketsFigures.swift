import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension GrokkingTicketsMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        [accuracies, sources, norms, rates].compactMap { $0 } + [overlaps, pruned].compactMap { $0 }
    }

    private func line(_ name: String, _ curve: GrokkingCurve) -> LineChart.Series {
        // A point in eight is plenty for a picture once training is long.
        let stride = max(1, curve.points.count / 150)
        let points = curve.points.enumerated().filter {
            $0.offset.isMultiple(of: stride) || $0.offset == curve.points.count - 1
        }.map { (x: Double($0.element.step), y: $0.element.testAccuracy) }
        return .init(name: name, points: points)
    }

    private var accuracies: ExperimentReport.Illustration? {
        guard let trial = trials.first else { return nil }
        var series = [line("dense", trial.dense.outcome.curve)]
        for (name, start) in [
            ("ticket", GrokkingArm.Start.ticket(step: nil)), ("dense, L1 of the ticket", .matchedNorm(.l1)),
            ("dense, L2 of the ticket", .matchedNorm(.l2)), ("random mask", .random),
        ] {
            if let outcome = trial.outcome(start) { series.append(line(name, outcome.curve)) }
        }
        return .init(
            id: "test-accuracy",
            LineChart(
                title: "Test accuracy while training",
                summary: "Test accuracy by step of the dense network, its ticket and the controls.",
                horizontalTitle: "step", verticalTitle: "test accuracy", series: series),
            caption: "Seed \(trial.seed). All start from the same initial weights; curves end at an accuracy of 0.95 "
                + "(dense: \(MarkupText.number(size.settings.stopAccuracy))) or where their steps do.")
    }

    private var sources: ExperimentReport.Illustration? {
        let series = trials.map { trial -> LineChart.Series in
            let early = size.sourceSteps.compactMap { step in
                trial.outcome(.ticket(step: step)).map { (x: Double(step), y: Double($0.curve.delayOrBound.steps)) }
            }
            let last = trial.outcome(.ticket(step: nil)).map {
                [(x: Double(trial.dense.lastStep), y: Double($0.curve.delayOrBound.steps))]
            }
            return .init(name: "seed \(trial.seed)", points: early + (last ?? []))
        }
        return .init(
            id: "delay-by-source",
            LineChart(
                title: "Delay by the step a ticket is taken from",
                summary: "τ_grok of tickets by the step of the dense run whose largest weights they keep.",
                horizontalTitle: "source step", verticalTitle: "τ_grok, steps", series: series),
            caption: "κ = 0.4. A ticket that does not generalize is drawn at the steps it was given.")
    }

    private var norms: ExperimentReport.Illustration? {
        guard let trial = trials.first else { return nil }
        func line(_ name: String, _ curve: GrokkingCurve) -> LineChart.Series {
            let stride = max(1, curve.points.count / 150)
            return .init(
                name: name,
                points: curve.points.enumerated().filter { $0.offset.isMultiple(of: stride) }
                    .map { (x: Double($0.element.step), y: $0.element.norms.l2) })
        }
        var series = [line("dense", trial.dense.outcome.curve)]
        for (name, start) in [
            ("ticket", GrokkingArm.Start.ticket(step: nil)), ("dense, L2 of the ticket", .matchedNorm(.l2)),
            ("random mask", .random),
        ] {
            if let outcome = trial.outcome(start) { series.append(line(name, outcome.curve)) }
        }
        return .init(
            id: "norms",
            LineChart(
                title: "Norm of the weights while training",
                summary: "The mean over tensors of the Euclidean norm, by step.", horizontalTitle: "step",
                verticalTitle: "mean ‖W‖₂ of tensors", series: series),
            caption:
                "Seed \(trial.seed). The norm-matched network starts where the ticket does, and does not end there.")
    }

    private var rates: ExperimentReport.Illustration? {
        let kept = [0.2, 0.3, 0.4, 0.6]
        return .init(
            id: "delay-by-rate",
            LineChart(
                title: "Delay by the fraction kept", summary: "τ_grok of final tickets by κ.",
                horizontalTitle: "fraction kept", verticalTitle: "τ_grok, steps",
                series: trials.map { trial in
                    .init(
                        name: "seed \(trial.seed)",
                        points: kept.compactMap { kept in
                            trial.outcome(.ticket(step: nil), kept: kept).map {
                                (x: kept, y: Double($0.curve.delayOrBound.steps))
                            }
                        } + [(x: 1, y: Double(trial.dense.outcome.curve.delayOrBound.steps))])
                }),
            caption: "Tickets of the end of the dense run; 1 is the dense network itself.")
    }

    private var overlaps: ExperimentReport.Illustration? {
        let series = trials.filter { $0.overlaps.count > 1 }.map { trial in
            LineChart.Series(
                name: "seed \(trial.seed)", points: trial.overlaps.map { (x: Double($0.step), y: $0.overlap) })
        }
        guard !series.isEmpty else { return nil }
        return .init(
            id: "overlap",
            LineChart(
                title: "How the mask becomes the ticket",
                summary: "Jaccard overlap of the mask at each step of the dense run with the final ticket.",
                horizontalTitle: "step", verticalTitle: "|A ∩ B| / |A ∪ B|", series: series),
            caption: "Masks of the largest 40 % at a step, against those at the end.")
    }

    private var pruned: ExperimentReport.Illustration? {
        let series = trials.compactMap { trial in
            trial.pruning.map { curve in
                LineChart.Series(
                    name: "seed \(trial.seed)", points: curve.points.map { (x: $0.sparsity, y: $0.testAccuracy) })
            }
        }
        guard !series.isEmpty else { return nil }
        return .init(
            id: "pruning",
            LineChart(
                title: "Pruning the generalizing network without training",
                summary: "Test accuracy of the dense network's end by the share of weights removed.",
                horizontalTitle: "share of weights removed", verticalTitle: "test accuracy", series: series),
            caption: "The smallest weights of all tensors together are set to zero.")
    }

    var tables: [ExperimentReport.Table] {
        let all =
            trials.map { ("perceptron, seed \($0.seed)", $0) }
            + (transformer.map { [("transformer, seed \($0.seed)", $0)] } ?? [])
            + (images.map { [("images, seed \($0.seed)", $0)] } ?? [])
        return all.map { title, trial in
            let rows = GrokkingTable(dense: trial.dense.outcome, arms: trial.outcomes).rows
            return .init(
                title: title,
                HTMLTable(head: GrokkingTable.head, rows: rows, numericColumns: Set(1..<GrokkingTable.head.count)))
        } + [spectra]
    }

    private var spectra: ExperimentReport.Table {
        let rows = trials.flatMap { trial in
            trial.spectra.map { step, spectrum in
                [
                    "\(trial.seed)", "\(step)", "\(spectrum.dominantCount())",
                    MarkupText.number(spectrum.total, digits: 4),
                ]
            }
        }
        return .init(
            title: "Frequencies that hold 90 % of the embedding's power",
            HTMLTable(head: ["seed", "step", "frequencies", "power"], rows: rows, numericColumns: [0, 1, 2, 3]))
    }

    var notes: [String] {
        [
            "τ_grok and not t_test is compared: tickets may memorize a little later.",
            "The defaults (embeddings and neurons of 128, half of the pairs) are this project's; the paper's sizes (500 and "
                + "48, 40 % of the pairs) are those of --full.",
        ]
    }

    var json: JSON {
        func data(_ trial: Trial) -> JSON {
            .object([
                "seed": .integer(Int(clamping: trial.seed)), "last_step": .integer(trial.dense.lastStep),
                "runs": GrokkingTable(dense: trial.dense.outcome, arms: trial.outcomes).json,
                "spectra": .array(
                    trial.spectra.map { step, spectrum in
                        .object([
                            "step": .integer(step), "power": .array(spectrum.power.map { .number($0) }),
                            "dominant": .integer(spectrum.dominantCount()),
                        ])
                    }),
                "overlaps": .array(
                    trial.overlaps.map { .object(["step": .integer($0.step), "jaccard": .number($0.overlap)]) }),
                "edge_popup": trial.edgePopup.map { curve -> JSON in
                    .object([
                        "best_test_accuracy": .number(curve.bestTestAccuracy),
                        "t_test": curve.testStep.map { .integer($0) } ?? .null,
                    ])
                } ?? .null,
            ])
        }
        return .object([
            "perceptron": .array(trials.map(data)), "transformer": transformer.map(data) ?? .null,
            "images": images.map(data) ?? .null,
        ])
    }
}
