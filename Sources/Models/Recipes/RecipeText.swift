import CoppiceTensors
import Foundation
import Yams

/// The text of a recipe file and its first reading as YAML.
package enum RecipeText {
    /// Recipes longer than this are refused: nobody wrote them by hand.
    package static let largestSize = 1 << 20

    /// The text of a file.
    ///
    /// - Throws: `.noInput` when there is no such file, `.badData` when it is empty, too large or not UTF-8.
    package static func read(_ path: String) throws -> String {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: path, "no such file, expected a recipe")
        }
        guard !isFolder.boolValue else {
            throw CoppiceError(.noInput, source: path, "is a folder, expected a recipe file")
        }
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
        defer { try? file.close() }
        // An empty file reads as nil.
        let data = (try? file.read(upToCount: largestSize + 1)) ?? Data()
        guard data.count <= largestSize else {
            throw CoppiceError(.badData, source: path, "is larger than \(largestSize >> 20) MiB, expected a recipe")
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text, expected a YAML recipe")
        }
        return text
    }

    /// The root node of a recipe.
    ///
    /// - Parameters:
    ///   - source: the file's name, for error messages.
    ///   - expected: what a recipe must have, for the message about an empty one.
    /// - Throws: `.badData` with the line of what is not YAML, and for anchors.
    package static func parse(_ text: String, source: String, expected: String) throws -> RecipeNode {
        try refuseAnchors(text, source: source)
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw CoppiceError(.badData, source: source, field: line(of: error), message(of: error))
        }
        guard let node, node.scalar?.string.isEmpty != true else {
            throw CoppiceError(.badData, source: source, "is empty, expected \(expected)")
        }
        return RecipeNode(node: node, path: "", source: source)
    }

    /// Anchors let a few lines stand for billions of nodes, and no recipe needs them.
    ///
    /// They are looked for before YAML is read, since reading already compares nodes with each other, and without
    /// regard to quotes, since what is quoted is only known after reading.
    private static func refuseAnchors(_ text: String, source: String) throws {
        var line = 1
        var isAfterAmpersand = false
        for character in text {
            if isAfterAmpersand && !character.isWhitespace {
                throw CoppiceError(
                    .badData, source: source, field: "line \(line)",
                    "anchors (& before a name) are not accepted; repeat the options, or put a space behind the &")
            }
            isAfterAmpersand = character == "&"
            if character.isNewline { line += 1 }
        }
    }

    private static func line(of error: YamlError) -> String? {
        switch error {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _):
            "line \(mark.line)"
        case .duplicatedKeysInMapping(_, let context): "line \(context.mark.line)"
        default: nil
        }
    }

    private static func message(of error: YamlError) -> String {
        switch error {
        case .composer(_, "found undefined alias", _, _):
            "a text that starts with * must be in quotes"
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _):
            "is not YAML: \(problem)"
        case .duplicatedKeysInMapping(let duplicates, _):
            "the key \"\(duplicates.first ?? "")\" appears twice"
        case .reader(let problem, _, _, _): "is not YAML: \(problem)"
        default: "is not YAML"
        }
    }
}
