import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct ChatTemplateTests {
    private func render(_ template: String, _ variables: [String: JSON] = [:]) throws -> String {
        try ChatTemplate(template).render(
            messages: [], addGenerationPrompt: false, beginToken: "", endToken: "", variables: variables)
    }

    private func message(_ template: String) -> String {
        do { return "rendered \(try render(template).prefix(80))" } catch { return String(describing: error) }
    }

    /// Texts that jinja2 renders, or nil where it refuses.
    @Test func agreesWithJinja2() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/chat/templates.jsonl").path
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count > 120)
        var template = ""
        for line in lines {
            let fixture = try JSON(text: String(line), source: "templates.jsonl")
            let name = try #require(fixture["name"]?.stringValue)
            template = fixture["template"]?.stringValue ?? template
            var variables: [String: JSON] = [:]
            for (key, value) in try #require(fixture["variables"]?.objectValue) { variables[key] = value }
            if let expected = fixture["text"]?.stringValue {
                do {
                    let text = try render(template, variables)
                    #expect(Array(text.utf8) == Array(expected.utf8), "\(name): \(text.debugDescription)")
                } catch {
                    Issue.record("\(name): \(error)")
                }
            } else {
                #expect(throws: CoppiceError.self, "\(name)") { try render(template, variables) }
            }
        }
    }

    @Test func messagesAreVariables() throws {
        let template = try ChatTemplate(
            "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
                + "{% if add_generation_prompt %}<assistant>{% endif %}")
        let messages = [
            ChatMessage(role: "user", content: "{{ bos_token }}"), ChatMessage(role: "assistant", content: "b"),
        ]
        #expect(
            try template.render(messages: messages, addGenerationPrompt: true, beginToken: "^", endToken: "$")
                == "^<user>{{ bos_token }}$<assistant>b$<assistant>")
        #expect(
            try template.render(messages: messages, addGenerationPrompt: false, beginToken: "", endToken: "")
                == "<user>{{ bos_token }}<assistant>b")
    }

    @Test func datesAreFormatted() throws {
        let text = try ChatTemplate("{{ strftime_now('%Y') }}").render(
            messages: [], addGenerationPrompt: false, beginToken: "", endToken: "",
            date: Date(timeIntervalSince1970: 1_000_000_000))
        #expect(text == "2001")
    }

    @Test(arguments: [
        ("a\n{% if x %}", "line 2: expected {% elif %} or {% else %} or {% endif %}"),
        ("{{ 1 + }}", "line 1: expected an expression, found }}"),
        ("\n\n{{ x", "line 3: a tag has no end"),
        ("{% frob %}", "line 1: the statement frob is not known"),
        ("{% include 'x' %}", "line 1: the statement include is not known"),
        ("{{ 'a }}", "line 1: a string has no end"),
        ("\n{{ x.y }}", "line 2: x is undefined; its y was asked for"),
        ("{{ x + 1 }}", "line 1: x is undefined; + needs a value"),
        ("{{ 1 + 'a' }}", "line 1: + does not join a number and a string"),
        ("{{ 1 | frob }}", "line 1: the filter frob is not known"),
        ("{{ 1 is frob }}", "line 1: the test frob is not known"),
        ("{{ x() }}", "line 1: x cannot be called: it is undefined"),
        ("{{ raise_exception('roles must alternate') }}", "line 1: roles must alternate"),
        ("{{ 1 // 0 }}", "line 1: division by zero"),
        ("{{ [1].append(2) }}", "line 1: append: lists cannot be changed; use + and a namespace"),
        ("{% break %}", "line 1: break outside of a loop"),
        ("{{ 9223372036854775807 + 1 }}", "line 1: a number is out of range"),
        ("{{ ''.__class__.__mro__ }}", "line 1: __class__ is undefined; its __mro__ was asked for"),
    ])
    func faultsAreLocated(_ template: String, _ expected: String) {
        #expect(message(template) == "chat template: \(expected)")
    }

    @Test(arguments: [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ " + String(repeating: "(", count: 100_000) + "1",
        "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
        "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
        String(repeating: "{% if 1 %}", count: 100_000),
        "{{ 10 ** 1000 }}",
        "{{ 'abcdefgh'.replace('', 'x' * 4000000) }}",
    ])
    func hostileTemplatesFail(_ template: String) {
        #expect(message(template).hasPrefix("chat template: line 1: "))
    }
}
