import CoppiceTensors
import Foundation

/// The weight files of a checkpoint taken together: one file, or shards with an index.
struct SafetensorsSet: Sendable {
    /// What errors about the whole call it: the file, or the index.
    let source: String
    let files: [SafetensorsFile]
    private let fileOfTensor: [String: Int]

    /// One file.
    init(file path: String) throws { try self.init(SafetensorsFile(path: path)) }

    /// One file that is open.
    init(_ file: SafetensorsFile) throws { try self.init(source: file.path, files: [file]) }

    /// The files of a folder: `model.safetensors`, else the shards that `model.safetensors.index.json` lists, else
    /// the only safetensors file.
    ///
    /// - Throws: `.noInput` when there is none or a shard is missing; `.badData` for files that are damaged or disagree.
    init(folder: String) throws {
        let single = folder + "/model.safetensors"
        let index = folder + "/model.safetensors.index.json"
        let files = FileManager.default
        if files.fileExists(atPath: single) {
            try self.init(file: single)
        } else if files.fileExists(atPath: index) {
            try self.init(index: index, folder: folder)
        } else {
            let names = ((try? files.contentsOfDirectory(atPath: folder)) ?? []).sorted()
            let candidates = names.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix(".") }
            guard candidates.count == 1 else { throw Self.noWeights(folder, names, candidates) }
            try self.init(file: folder + "/" + candidates[0])
        }
    }

    private static func noWeights(_ folder: String, _ names: [String], _ candidates: [String]) -> CoppiceError {
        if candidates.count > 1 {
            return CoppiceError(
                .noInput, source: folder,
                "holds \(candidates.count) safetensors files without model.safetensors.index.json; name one of them")
        }
        let others = names.filter { name in [".bin", ".pt", ".pth", ".gguf", ".h5"].contains { name.hasSuffix($0) } }
        let found = others.first.map { "; \($0) is of a kind that is not read" } ?? ""
        return CoppiceError(.noInput, source: folder, "holds no model.safetensors\(found)")
    }

    private init(source: String, files: [SafetensorsFile]) throws {
        var fileOfTensor: [String: Int] = [:]
        for (number, file) in files.enumerated() {
            for name in file.names {
                if let other = fileOfTensor.updateValue(number, forKey: name) {
                    throw CoppiceError(
                        .badData, source: file.path, field: name, "is in \(files[other].path) too, expected once")
                }
            }
        }
        self.source = source
        self.files = files
        self.fileOfTensor = fileOfTensor
    }

    private init(index: String, folder: String) throws {
        let json = try JSON(parsing: MappedFile.contents(index), source: index)
        guard let map = json["weight_map"]?.objectValue else {
            throw CoppiceError(.badData, source: index, field: "weight_map", "is missing, expected an object")
        }
        var names: Set<String> = []
        for (tensor, value) in map {
            // A name with a slash could reach any file of the machine.
            guard let name = value.stringValue, !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
                throw CoppiceError(
                    .badData, source: index, field: "weight_map.\(tensor)",
                    "expected the name of a file in the same folder, found \(value.serialized().prefix(60))")
            }
            names.insert(name)
        }
        try self.init(source: index, files: names.sorted().map { try SafetensorsFile(path: folder + "/" + $0) })
        for (tensor, value) in map {
            guard let number = fileOfTensor[tensor], files[number].path == folder + "/" + (value.stringValue ?? "")
            else {
                throw CoppiceError(
                    .badData, source: index, field: "weight_map.\(tensor)",
                    "names \(value.stringValue ?? ""), which does not hold the tensor")
            }
        }
    }

    var names: [String] { files.flatMap(\.names) }

    /// The file that holds a tensor; nil when none does.
    func file(of name: String) -> SafetensorsFile? { fileOfTensor[name].map { files[$0] } }
}
