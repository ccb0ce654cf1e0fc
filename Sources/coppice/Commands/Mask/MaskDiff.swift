import ArgumentParser
import CoppiceCompression
import CoppiceModels
import Foundation

/// `coppice mask diff`: how far two masks agree.
struct MaskDiff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Compare two masks of the same matrices.",
        discussion: """
            overlap is the part of what the first one keeps that the second one keeps too, Jaccard the part that both \
            keep of what either keeps. At random, overlap is the density of the second mask.
            """)

    @Argument(help: ArgumentHelp("A mask file.", valueName: "first"))
    var first: String
    @Argument(help: ArgumentHelp("A mask file.", valueName: "second"))
    var second: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let (a, b) = (try MaskFile.read(first), try MaskFile.read(second))
        let pairs = try a.agreement(with: b, source: second)
        let total = pairs.map(\.agreement).reduce(.zero, +)
        let isOfOneModel = a.modelDigest == b.modelDigest
        if common.json {
            var members = Self.members(total)
            members.append(("same_model", .bool(isOfOneModel)))
            members.append(
                (
                    "matrices",
                    .array(
                        pairs.map {
                            .object(
                                .init(uniqueKeysWithValues: [("name", .string($0.name))] + Self.members($0.agreement)))
                        })
                ))
            return try Output.json(.object(.init(uniqueKeysWithValues: members)))
        }
        let rows = (pairs + [("all", total)]).map { name, own -> [String] in
            [
                name, "\(own.count)", percent(own.keptByFirst, own.count), percent(own.keptBySecond, own.count),
                Output.number(own.overlap, digits: 4), Output.number(own.jaccard, digits: 4),
                Output.number(own.hammingDistance, digits: 4),
            ]
        }
        let table = TextTable(
            head: [
                ("matrix", .left), ("weights", .right), ("first keeps", .right), ("second keeps", .right),
                ("overlap", .right), ("Jaccard", .right), ("differ", .right),
            ], rows: rows)
        for line in table.lines { try Output.line(line) }
        if !isOfOneModel { try Output.line("the masks belong to different weights") }
    }

    private func percent(_ part: Int, _ whole: Int) -> String {
        Output.number(whole == 0 ? 0 : 100 * Double(part) / Double(whole), digits: 2) + " %"
    }

    private static func members(_ own: MaskAgreement) -> [(String, JSON)] {
        [
            ("weights", .integer(own.count)), ("kept_by_first", .integer(own.keptByFirst)),
            ("kept_by_second", .integer(own.keptBySecond)), ("kept_by_both", .integer(own.keptByBoth)),
            ("overlap", .number(own.overlap)), ("jaccard", .number(own.jaccard)),
            ("hamming_distance", .number(own.hammingDistance)),
        ]
    }
}
