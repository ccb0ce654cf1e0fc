import CoppiceModels
import CoppiceNetworks
import Foundation

/// A network with gates that is trained in the place of its own network, and becomes a smaller one without gates.
public protocol GatedTraining {
    var network: GatedNetwork { get }
    /// What drives the gates; a part of every step.
    var hook: any TrainingHook { get }

    /// Cuts out what the gates leave out.
    ///
    /// - Parameters:
    ///   - heldOut: examples that the gates decide on.
    ///   - statistics: examples that the smaller network's norms are measured on anew.
    ///   - limit: the largest disagreement ḡ(1 − ḡ) that is cut through; nil for any.
    /// - Throws: `.badData` naming the gates beyond the limit.
    func extract(
        on heldOut: [LabeledBatch], statistics: some Sequence<LabeledBatch>, limit: Double?
    ) throws -> ExtractedNetwork
}

/// What a gated network became.
public struct ExtractedNetwork {
    /// Smaller, without gates.
    public var network: any VisionNetwork
    public var summary: GateSummary

    public init(network: any VisionNetwork, summary: GateSummary) {
        self.network = network
        self.summary = summary
    }
}

/// What gates decided, and what that saves.
public struct GateSummary: Sendable, Hashable {
    /// On the images that they decided on.
    public var report: GateReport
    /// Gates that stay, of each block.
    public var kept: [Int]
    /// The largest difference between the scores of the gated network with its decisions and of the smaller one,
    /// before norms were measured anew, in units of the largest score, at least 1.
    public var difference: Double
    public var before: NetworkCost
    public var after: NetworkCost
    /// Of the gated network, each image with its own decisions; nil where nothing was validated on.
    public var gatedValidation: Classification?
    /// Of the smaller network.
    public var validation: Classification?

    public init(report: GateReport, kept: [Int], difference: Double, before: NetworkCost, after: NetworkCost) {
        self.report = report
        self.kept = kept
        self.difference = difference
        self.before = before
        self.after = after
    }

    /// Gates that stay.
    public var keptCount: Int { kept.reduce(0, +) }

    /// With stable keys: `mode`, `gates`, `kept`, `disagreement`, `entropy`, `reopenings`, `difference`,
    /// `parameters_before`, `parameters_after`, `multiplications_before`, `multiplications_after`, `blocks` (`name`,
    /// `mean`, `disagreement`, `gates`, `kept`, `reopenings`), and where there is validation
    /// `gated_validation_accuracy`, `validation_accuracy`.
    public var json: JSON {
        let blocks = zip(report.blocks, kept).map { block, kept -> JSON in
            .object([
                "name": .string(block.name), "mean": .number(block.mean), "disagreement": .number(block.disagreement),
                "gates": .integer(block.means.count), "kept": .integer(kept), "reopenings": .integer(block.reopenings),
            ])
        }
        var members: [(String, JSON)] = [
            ("mode", .string(report.mode.rawValue)), ("gates", .integer(report.count)), ("kept", .integer(keptCount)),
            ("disagreement", .number(report.disagreement)), ("entropy", .number(report.entropy)),
            ("reopenings", .integer(report.reopenings)), ("difference", .number(difference)),
            ("parameters_before", .integer(before.parameters)), ("parameters_after", .integer(after.parameters)),
            ("multiplications_before", .integer(before.multiplyAccumulates)),
            ("multiplications_after", .integer(after.multiplyAccumulates)), ("blocks", .array(blocks)),
        ]
        if let gatedValidation { members.append(("gated_validation_accuracy", .number(gatedValidation.accuracy))) }
        if let validation { members.append(("validation_accuracy", .number(validation.accuracy))) }
        return .object(.init(uniqueKeysWithValues: members))
    }

    /// A few lines for people.
    public var lines: [String] {
        func change(_ before: Int, _ after: Int) -> String {
            "\(before) → \(after) (\(String(format: "%.1f", 100 * Double(after) / Double(max(1, before)))) %)"
        }
        let unit = report.mode == .layer ? "blocks" : "channels"
        var lines = [
            "gates: \(keptCount) of \(report.count) \(unit) kept, largest disagreement "
                + String(format: "%.4f", report.disagreement) + ", \(report.reopenings) re-openings",
            "parameters \(change(before.parameters, after.parameters)), multiplications "
                + change(before.multiplyAccumulates, after.multiplyAccumulates),
            String(format: "without gates: scores differ by at most %.1e", difference),
        ]
        if let gatedValidation, let validation {
            lines.append(
                String(
                    format: "validation: accuracy %.4f with gates, %.4f without", gatedValidation.accuracy,
                    validation.accuracy))
        }
        return lines
    }

    /// A table of the blocks.
    public var table: [String] {
        let width = report.blocks.map(\.name.count).max() ?? 0
        return zip(report.blocks, kept).map { block, kept in
            let name = block.name + String(repeating: " ", count: width - block.name.count)
            return name + String(format: "  open %.3f", block.mean)
                + String(format: "  disagreement %.4f", block.disagreement) + "  \(kept) of \(block.means.count) kept"
        }
    }
}
