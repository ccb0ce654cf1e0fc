import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Files of texts with labels, as GLUE and others have them.
@Suite struct LabelledTextsTests {
    private let labels = ["negative", "positive", "neutral"]

    private func read(
        _ text: String, _ format: LabelledTexts.Format, _ columns: LabelledTexts.Columns = .init()
    ) throws -> [LabelledTexts.Example] {
        try LabelledTexts(text, format: format, labels: labels, columns: columns, source: "f").examples
    }

    private func failure(_ text: String, _ format: LabelledTexts.Format, _ columns: LabelledTexts.Columns = .init())
        -> String
    {
        do {
            return "accepted \(try read(text, format, columns))"
        } catch { return "\(error)" }
    }

    @Test func tabsSeparateAndQuotesAreCharacters() throws {
        let found = try read("sentence\tlabel\na \"good film\t1\n\n\"bad\"\tnegative\r\nit, is\tNeutral", .tabs)
        #expect(
            found == [
                .init(["a \"good film"], label: 1), .init(["\"bad\""], label: 0), .init(["it, is"], label: 2),
            ])
    }

    @Test func commasMayStandInQuotes() throws {
        let text =
            "label,premise,hypothesis\r\n2,\"one, two\",\"he said \"\"no\"\"\"\r\n0,\"two\nlines\",b \"c\r\n1,,x\r\n"
        #expect(
            try read(text, .commas) == [
                .init(["one, two", "he said \"no\""], label: 2), .init(["two\nlines", "b \"c"], label: 0),
                .init(["", "x"], label: 1),
            ])
    }

    @Test func objectsStandOneALine() throws {
        let text =
            "{\"text\": \"a\\nb\u{2028}c\", \"label\": 1, \"idx\": 7}\r\n\n{\"label\": \"positive\", \"text\": \"\"}"
        #expect(try read(text, .jsonLines) == [.init(["a\nb\u{2028}c"], label: 1), .init([""], label: 1)])
        let flags = "{\"question1\": \"a\", \"question2\": \"b\", \"is_duplicate\": true}"
        #expect(try read(flags, .jsonLines) == [.init(["a", "b"], label: 1)])
    }

    @Test func columnsAreFoundOrNamed() throws {
        let glue = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n"
        #expect(try read(glue, .tabs) == [.init(["a", "b"], label: 1)])
        // Of a question and a sentence both count; named ones alone.
        let pair = "index,question,sentence,label\n0,q,s,2\n"
        #expect(try read(pair, .commas) == [.init(["q", "s"], label: 2)])
        #expect(try read(pair, .commas, .init(texts: ["sentence"])) == [.init(["s"], label: 2)])
        #expect(
            try read(pair, .commas, .init(texts: ["sentence", "question"], label: "index"))
                == [.init(["s", "q"], label: 0)])
    }

    @Test func whatIsWrongIsNamed() {
        #expect(
            failure("text\tlabel\na\t1\nb\t3\n", .tabs)
                == "f: line 3: label: \"3\" is no label of the model, expected one of negative, positive, neutral or a "
                + "number from 0 to 2")
        #expect(failure("text\tlabel\na\tgood\n", .tabs).hasPrefix("f: line 2: label: \"good\" is no label"))
        #expect(failure("text\tlabel\na\t-1\n", .tabs).hasPrefix("f: line 2: label: \"-1\" is no label"))
        #expect(
            failure("text\tlabel\na b\n", .tabs)
                == "f: line 2: has 1 values, expected 2, one for each column: text, label")
        #expect(failure("body,label\na,1\n", .commas).hasPrefix("f: columns: expected texts as text, sentence or "))
        #expect(failure("text,mark\na,1\n", .commas).contains("expected a label as label, labels, "))
        #expect(
            failure("text,label\na,1\n", .commas, .init(texts: ["txt"])).hasPrefix(
                "f: columns: expected \"txt\", found text, label; did you mean \"text\"?"))
        #expect(failure("text,label\n\"a,1\n", .commas) == "f: line 2: opens a quote that is not closed")
        #expect(failure("", .tabs).hasPrefix("f: has no example, expected a line that names columns"))
        #expect(failure("text\tlabel\n", .tabs).hasPrefix("f: has no example"))
        #expect(failure(" \n", .jsonLines).hasPrefix("f: has no example, expected JSON objects"))
        #expect(
            failure("{\"text\": \"a\", \"label\": 0}\n[1]", .jsonLines) == "f: line 2: expected a JSON object with "
                + "texts and a label")
        #expect(failure("{\"text\": \"a\", \"label\": 0}\n{", .jsonLines).hasPrefix("f: line 2"))
        #expect(
            failure("{\"text\": \"a\", \"label\": 0}\n{\"text\": \"a\"}", .jsonLines) == "f: line 2: label: is missing")
        #expect(failure("{\"text\": [\"a\"], \"label\": 0}", .jsonLines) == "f: line 1: text: is missing")
    }

    @Test func filesAreToldApartByNameOrFirstLine() throws {
        let folder = try TemporaryFolder()
        func read(_ name: String, _ bytes: [UInt8]) throws -> LabelledTexts {
            let path = folder.path + "/" + name
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            return try LabelledTexts.read(path, labels: labels)
        }
        let expected = [LabelledTexts.Example(["a, b"], label: 1)]
        let tabs = Array("text\tlabel\na, b\t1\n".utf8)
        #expect(try read("x.tsv", tabs).examples == expected && read("x", tabs).examples == expected)
        #expect(try read("x.csv", Array("text,label\n\"a, b\",1\n".utf8)).examples == expected)
        #expect(try read("y", Array("text,label\n\"a, b\",1\n".utf8)).examples == expected)
        let object = Array("{\"text\": \"a, b\", \"label\": 1}".utf8)
        #expect(try read("x.jsonl", object).examples == expected && read("z", object).examples == expected)
        #expect(try read("mark.tsv", [0xEF, 0xBB, 0xBF] + tabs).examples == expected)
        #expect { try read("bad.tsv", tabs + [0xFF, 0xFE]) } throws: { "\($0)".hasSuffix("bad.tsv: is not UTF-8 text") }
        #expect { try LabelledTexts.read(folder.path + "/none.tsv", labels: labels) } throws: {
            ($0 as? CoppiceError)?.kind == .noInput
        }
    }
}
