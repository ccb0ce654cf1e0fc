import CoppiceTensors
import Foundation

extension EncoderCheckpoint {
    /// Writes an encoder of the same kind with other values: a folder that `transformers` loads, with the same
    /// `config.json`, tokenizer, names and types.
    ///
    /// - Parameters:
    ///   - values: the tensors that are not the checkpoint's any more, by the names that it has them under; they are
    ///     converted to its types.
    ///   - files: more files, by name.
    /// - Throws: `.cannotCreate`, `.inputOutput`; what reading the checkpoint throws.
    public func write(
        to output: OutputFolder, values: [String: Tensor], files: [(name: String, text: String)] = []
    ) throws {
        try AtomicFile.write(configurationJSON.serialized(pretty: true) + "\n", to: output.path(for: "config.json"))
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where CheckpointWriter.companionFiles.contains(name) {
            let file = try AtomicFile(at: output.path(for: name))
            defer { file.discard() }
            try file.write(Array(MappedFile.contents(folder + "/" + name)))
            try file.commit()
        }
        for (name, text) in files { try AtomicFile.write(text, to: output.path(for: name)) }
        let tensors = try storedNames.map { name in
            let own = try storedTensor(name)
            return SafetensorsWriter.Entry(
                name, values[name].map { $0.converted(to: own.dataType).reshaped(own.shape) } ?? own)
        }
        try SafetensorsWriter.write(
            tensors, metadata: ["format": "pt"], to: output.path(for: "model.safetensors"))
        try output.commit()
    }
}
