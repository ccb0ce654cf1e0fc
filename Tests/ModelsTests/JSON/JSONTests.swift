import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String) throws -> JSON { try JSON(text: text, source: "t.json") }

    private func message(_ bytes: [UInt8], duplicateKeys: JSON.DuplicateKeys = .lastWins) -> String {
        do {
            let value = try JSON(parsing: bytes, source: "t.json", duplicateKeys: duplicateKeys)
            return "parsed \(value.serialized())"
        } catch { return String(describing: error) }
    }

    @Test func parsesEveryKind() throws {
        let value = try parse(#" {"a":[1,-2.5e1,true,false,null],"b":{"c":"\u00e9\n\ud83d\ude00\/"},"d":{},"e":[]} "#)
        #expect(value["a"]?[0]?.intValue == 1)
        #expect(value["a"]?[1]?.doubleValue == -25)
        #expect(value["a"]?[1]?.intValue == -25)
        #expect(value["a"]?[2]?.boolValue == true)
        #expect(value["a"]?[4]?.isNull == true)
        #expect(value["a"]?[5] == nil)
        #expect(value["b"]?["c"]?.stringValue == "é\n😀/")
        #expect(value["d"]?.objectValue?.isEmpty == true)
        #expect(value["e"]?.arrayValue?.isEmpty == true)
        #expect(value.objectValue?.keys.elements == ["a", "b", "d", "e"])
    }

    @Test func integersAreExact() throws {
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("-9223372036854775808") == .integer(.min))
        #expect(try parse("9223372036854775808") == .number(9_223_372_036_854_775_808))
        #expect(try parse("1000000000000000019884624838656").doubleValue == 1e30)
        #expect(try parse("1.0") == .number(1))
        #expect(try parse("1e-05") == .number(1e-5))
    }

    @Test func textSurvivesARoundTrip() throws {
        let value = JSON.object([
            "quote \" slash \\": .string("line\nreturn\rtab\tbell\u{7}delete\u{7f} é 😀"),
            "numbers": .array([.integer(-3), .number(0.1), .number(1e300), .number(1e-300)]),
            "empty": .array([.object([:]), .array([]), .null, .bool(false)]),
        ])
        #expect(try parse(value.serialized()) == value)
        #expect(try parse(value.serialized(pretty: true)) == value)
        #expect(JSON.number(.nan).serialized() == "null")
    }

    @Test func prettyTextIsIndented() {
        let value = JSON.object(["a": .array([.integer(1), .integer(2)]), "b": .object([:])])
        #expect(value.serialized(pretty: true) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}")
        #expect(value.serialized() == #"{"a":[1,2],"b":{}}"#)
    }

    @Test(arguments: [
        ("", "line 1, column 1: the text ends in the middle of a value"),
        ("{\"é\": 1,\n  \"b\" 2}", "line 2, column 7: expected a colon after the key, found 2"),
        ("[1, 2", "line 1, column 6: the text ends in the middle of a value"),
        ("[1 2]", "line 1, column 4: expected , or ], found 2"),
        ("[1,]", "line 1, column 4: expected a value, found ]"),
        ("{\"a\":1,}", "line 1, column 8: expected a key in quotation marks, found }"),
        ("{a:1}", "line 1, column 2: expected a key in quotation marks, found a"),
        ("tru", "line 1, column 1: expected true"),
        ("1 1", "line 1, column 3: expected the end, found 1"),
        ("01", "line 1, column 1: a number must not begin with 0"),
        ("1.", "line 1, column 3: expected a digit after the decimal point"),
        ("-", "line 1, column 2: expected a digit"),
        ("1e", "line 1, column 3: expected a digit in the exponent"),
        ("1e999", "line 1, column 1: 1e999 is beyond the range of a double"),
        ("\"abc", "line 1, column 1: a string has no end"),
        ("\"a\nb\"", "line 1, column 3: a control character in a string must be escaped"),
        ("\"\\x\"", "line 1, column 2: an unknown escape"),
        ("\"\\ud800\"", "line 1, column 2: an unpaired surrogate"),
        ("\"\\udc00\"", "line 1, column 2: an unpaired surrogate"),
        ("\"\\u12g4\"", "line 1, column 6: expected four hexadecimal digits after \\u"),
        ("NaN", "line 1, column 1: expected a value, found N"),
    ])
    func faultsAreLocated(_ text: String, _ expected: String) {
        #expect(message(Array(text.utf8)) == "t.json: \(expected)")
    }

    @Test func hostileDocumentsAreRefused() {
        #expect(
            message(Array(repeating: UInt8(ascii: "["), count: 1_000_000)).contains("nested deeper than 256 levels"))
        #expect(message([0x22, 0xff, 0x22]) == "t.json: line 1, column 1: a string is not UTF-8")
        #expect(message([0x22, 0x5c]) == "t.json: line 1, column 2: a string has no end")
        let depth = JSON.maximumDepth
        let nested =
            Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth)
        #expect(message(nested).hasPrefix("parsed"))
    }

    @Test func duplicateKeysFollowTheOption() {
        let bytes = Array(#"{"a":1,"b":2,"a":3}"#.utf8)
        #expect(message(bytes) == #"parsed {"a":3,"b":2}"#)
        #expect(
            message(bytes, duplicateKeys: .rejected)
                == "t.json: line 1, column 18: the key \"a\" occurs twice in one object")
    }

    @Test func byteOrderMarkIsSkipped() {
        #expect(message([0xef, 0xbb, 0xbf] + Array("[1]".utf8)) == "parsed [1]")
    }
}
