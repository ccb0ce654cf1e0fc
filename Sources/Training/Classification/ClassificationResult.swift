import CoppiceModels
import Foundation

/// What a run on images gave.
public struct ClassificationResult: Sendable, Hashable {
    public var outcome: TrainingOutcome
    /// The network's folder. Not written yet when the run was interrupted.
    public var output: String
    /// The folder of the run: log, checkpoints.
    public var runFolder: String
    public var architecture: String
    public var parameters: Int
    /// What was classified: images or series.
    public var noun = "images"
    /// Images or series that were trained on, and those that were held out or otherwise validated on.
    public var trainingImages: Int
    public var validationImages: Int
    public var state: ClassificationState
    public var totalSteps: Int
    public var epochs: Double
    /// On the test images, of the network that was written; nil where there are none.
    public var test: Classification?
    /// Training images a second of this process, validation not counted; nil where it trained none.
    public var imagesPerSecond: Double?
    /// Seconds that this process trained, validation not counted.
    public var trainingSeconds: Double
    /// What gates decided, in a completed run with gates.
    public var gates: GateSummary?

    /// Takes in what a network with gates became.
    mutating func take(_ extracted: ExtractedNetwork) {
        architecture = extracted.network.configuration.name
        parameters = extracted.network.parameterCount
        gates = extracted.summary
    }

    /// The result with stable keys.
    public var json: JSON {
        var members: [(String, JSON)] = [
            ("outcome", .string(outcome.rawValue)), ("output", .string(output)), ("run", .string(runFolder)),
            ("architecture", .string(architecture)), ("parameters", .integer(parameters)),
            ("images", .integer(trainingImages)), ("validation_images", .integer(validationImages)),
            ("steps", .integer(state.step)), ("total_steps", .integer(totalSteps)), ("epochs", .number(epochs)),
            ("training_loss", (state.curve.last?.trainingLoss).map(JSON.number) ?? .null),
            ("images_per_second", imagesPerSecond.map(JSON.number) ?? .null),
            ("training_seconds", .number(trainingSeconds)),
        ]
        if let best = state.best, let accuracy = best.accuracy, let loss = best.validationLoss {
            members += [
                ("validation_accuracy", .number(accuracy)), ("validation_loss", .number(loss)),
                ("best_step", .integer(best.step)),
            ]
        }
        if let test { members += [("test_accuracy", .number(test.accuracy)), ("test_loss", .number(test.loss))] }
        if let gates { members.append(("gates", gates.json)) }
        return .object(.init(uniqueKeysWithValues: members))
    }
}

extension ClassificationResult: CustomStringConvertible {
    /// What a person wants to know first, in a few lines.
    public var description: String {
        var lines: [String] = []
        switch outcome {
        case .interrupted:
            lines.append("interrupted at step \(state.step) of \(totalSteps); --resume goes on from there")
            lines.append("run: \(runFolder)")
        case .completed, .stoppedEarly:
            let early = outcome == .stoppedEarly ? " (stopped early)" : ""
            lines.append(
                "\(output): \(architecture), \(parameters) parameters, trained \(state.step) steps\(early) on "
                    + "\(trainingImages) \(noun) (\(String(format: "%.1f", epochs)) epochs)")
        }
        if let best = state.best, let accuracy = best.accuracy, let loss = best.validationLoss {
            lines.append(
                String(format: "validation: accuracy %.4f, loss %.4f (step %d)", accuracy, loss, best.step))
        }
        lines += gates?.lines ?? []
        if let test {
            lines.append(
                String(format: "test: accuracy %.4f, loss %.4f (%d %@)", test.accuracy, test.loss, test.count, noun))
        }
        return lines.joined(separator: "\n")
    }

    /// The README of the network's folder. A function of the run alone: the same run gives the same card.
    func card(_ recipe: ClassificationRecipe, dataSet: ImageDataSet) -> String {
        var lines = [
            "# \((recipe.name ?? architecture).split(whereSeparator: \.isNewline).joined(separator: " "))", "",
        ]
        lines += [
            "A network that classifies \(noun) (\(architecture), \(parameters) parameters), trained by Coppice on "
                + "\(trainingImages) \(noun) of \(dataSet.name): \(dataSet.extent), \(dataSet.classCount) classes.", "",
            "| | |", "|---|---|",
        ]
        if let best = state.best, let accuracy = best.accuracy {
            lines.append(
                String(
                    format: "| Validation accuracy | %.4f (%d %@, step %d) |", accuracy, validationImages, noun,
                    best.step
                ))
        }
        if let validation = gates?.validation {
            lines.append(
                String(
                    format: "| Validation accuracy | %.4f (%d images) |", validation.accuracy, validation.count))
        }
        if let test {
            lines.append(String(format: "| Test accuracy | %.4f (%d %@) |", test.accuracy, test.count, noun))
            lines.append(String(format: "| Test loss | %.4f nats |", test.loss))
        }
        if let gates { lines += ["", "## Gates", ""] + gates.lines + ["", "```"] + gates.table + ["```"] }
        lines += [
            "", "## Curve", "", "| step | epoch | training loss | validation loss | accuracy |",
            "|---:|---:|---:|---:|---:|",
        ]
        for point in state.curve {
            let validation = point.validationLoss.map { String(format: "%.4f", $0) } ?? ""
            let accuracy = point.accuracy.map { String(format: "%.4f", $0) } ?? ""
            lines.append(
                "| \(point.step) | \(String(format: "%.2f | %.4f", point.epoch, point.trainingLoss)) | \(validation) | "
                    + "\(accuracy) |")
        }
        lines += ["", "## Recipe", "", "```yaml", recipe.text.trimmingCharacters(in: .newlines), "```", ""]
        return lines.joined(separator: "\n")
    }
}
