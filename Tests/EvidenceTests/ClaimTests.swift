import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

// Tensors have comparisons, too.
private typealias Comparison = CoppiceEvidence.Comparison

@Suite struct ClaimTests {
    private func claim(_ comparisons: [Comparison]) -> Claim {
        Claim(id: "c", statement: "s", paper: "p", criterion: "k", comparisons: comparisons)
    }

    @Test func relationsAreJudgedAtTheirBounds() {
        #expect(Comparison("q", 5, .atLeast, 5).holds && !Comparison("q", 4.99, .atLeast, 5).holds)
        #expect(Comparison("q", 5, .atMost, 5).holds && !Comparison("q", 5.01, .atMost, 5).holds)
        #expect(!Comparison("q", 5, .above, 5).holds && !Comparison("q", 5, .below, 5).holds)
        #expect(Comparison("q", 0, .equal, 0).holds && !Comparison("q", 1, .equal, 0).holds)
        for relation in Comparison.Relation.allCases { #expect(!Comparison("q", .nan, relation, 0).holds) }
    }

    @Test func aClaimHoldsWhenAllItsComparisonsDo() {
        let good = Comparison("a", 1, .above, 0)
        let bad = Comparison("b", -1, .above, 0)
        #expect(claim([good]).verdict == .holds && claim([good, bad]).verdict == .doesNotHold)
        let open = Claim(id: "o", statement: "s", paper: "p", criterion: "k", notMeasured: "why")
        #expect(open.verdict == .notMeasured && open.here == "why")
    }

    @Test func reportsSayHowClaimsCameOut() throws {
        let report = ExperimentReport(
            identifier: "e", title: "T <x>", paper: "P", protocolText: "how", facts: [.init("model", "m")],
            claims: [
                claim([Comparison("a", 1, .above, 0)]), claim([Comparison("a", .nan, .above, 0)]),
                Claim(id: "o", statement: "s", paper: "p", criterion: "k", notMeasured: "why"),
            ],
            tables: [
                .init(title: "numbers", HTMLTable(head: ["a|b", "c"], rows: [["1\n2", "3"]], numericColumns: [1]))
            ],
            notes: ["n"])
        #expect(
            report.markdown.hasSuffix(
                """
                | s | p | k | why | **not measured here** |

                1 of 2 measured claims hold, 1 is not measured here.

                ### numbers

                | a\\|b | c |
                |---|--:|
                | 1 2 | 3 |

                ## Notes

                - n

                """))
        #expect(
            report.markdown.contains(
                """
                | claim | paper says | what had to be true | measured |  |
                |---|---|---|---|---|
                | s | p | k |
                """))
        #expect(report.markdown.contains("```\ncoppice reproduce e\n```"))
        var typed = report
        typed.command = ["coppice", "reproduce", "e", "--data", "my data", "--output", "it's", "--scale", "0.5"]
        #expect(
            typed.markdown.contains(
                #"""
                ```
                coppice reproduce e --data 'my data' --output 'it'\''s' --scale 0.5
                ```
                """#))
        #expect(report.outcome == "1 of 2 measured claims hold, 1 is not measured here")
        #expect(report.text.contains("DOES NOT HOLD") && report.text.contains("not measured: why"))
        #expect(
            report.html.contains("badge fails") && report.html.contains("badge open") && !report.html.contains("<x>"))
        let json = try JSON(text: report.json.serialized(), source: "report")
        #expect(json["claims"]?[0]?["holds"]?.boolValue == true && json["claims"]?[1]?["holds"]?.boolValue == false)
        #expect(json["claims"]?[2]?["holds"]?.isNull == true)
        #expect(json["outcome"]?["does_not_hold"]?.intValue == 1)
        #expect(json["claims"]?[1]?["measurements"]?[0]?["value"]?.isNull == true)
    }

    @Test func unknownExperimentsAreRefusedWithTheNearest() throws {
        #expect(try Experiments.named("essential-sparsity").identifier == "essential-sparsity")
        let error = #expect(throws: CoppiceError.self) { try Experiments.named("essential-sparsty") }
        #expect(error?.kind == .usage && error?.message.contains("essential-sparsity") == true)
        #expect(Set(Experiments.all.map(\.identifier)).count == Experiments.all.count)
    }
}
