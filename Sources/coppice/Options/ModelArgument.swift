import ArgumentParser
import CoppiceModels
import CoppiceTensors
import Foundation

/// The model that a command works on.
struct ModelArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A Hugging Face or Coppice folder, a .safetensors, .gguf or llama2.c .bin file, or \"tales\", the built-in model.",
            valueName: "model"))
    var model = BuiltInModel.name

    /// Where the model is.
    var path: String {
        get throws { try Self.locate(model) }
    }

    /// The name that it is served under.
    var displayName: String {
        URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
    }

    /// The path of a model: a file or folder of that name, else the built-in model.
    static func locate(_ name: String) throws -> String {
        if name == BuiltInModel.name, !FileManager.default.fileExists(atPath: name) { return try BuiltInModel.path }
        return name
    }
}

/// The model that comes with the program.
enum BuiltInModel {
    static let name = "tales"

    /// Its folder.
    static var path: String {
        get throws { try resource("tales") }
    }

    /// Short original tales to evaluate and calibrate with.
    static var sampleText: String {
        get throws { try resource("sample-tales.txt") }
    }

    private static func resource(_ name: String) throws -> String {
        let path = Bundle.module.bundlePath + "/" + name
        guard FileManager.default.fileExists(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "the program's own files are missing, expected them beside it")
        }
        return path
    }
}

/// A text file as a string.
enum TextFile {
    static func read(_ path: String) throws -> String {
        guard FileManager.default.fileExists(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "no such file")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text")
        }
        return text
    }
}
