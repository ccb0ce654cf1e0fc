import CoppiceServing
import CoppiceTensors
import Foundation
import Testing

@Suite struct AuthenticationTests {
    @Test func onlyKnownKeysAreAdmitted() async throws {
        let keys = try APIKeys(["sk-first", "sk-second"])
        try await withServer([ScriptedEngine()], configure: { $0.apiKeys = keys }) { server in
            for path in ["/v1/models", "/metrics", "/v1/nothing"] {
                let reply = try await server.get(path)
                #expect(reply.status == 401)
                #expect(reply.headers["www-authenticate"] == "Bearer")
                #expect(reply.code == "invalid_api_key")
            }
            #expect(try await server.get("/health").status == 200)
            for header in [
                "Bearer sk-firs", "Bearer sk-first2", "Bearer ", "Bearer", "Basic sk-first", "sk-first",
                "Bearer SK-FIRST", "Bearer sk-first sk-first",
            ] {
                let reply = try await server.get("/v1/models", headers: ["Authorization": header])
                #expect(reply.status == 401, "\(header)")
            }
            for header in ["Bearer sk-first", "bearer sk-second"] {
                #expect(try await server.get("/v1/models", headers: ["Authorization": header]).status == 200)
            }
            // A large body without a key is not read, and the connection is closed in good order.
            let body = [UInt8](repeating: 32, count: 1 << 20)
            let refused = try await server.request("POST", "/v1/completions", body: body)
            #expect(refused.status == 401)
        }
    }

    @Test func keysComeFromAFile() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ data: Data) throws -> String {
            let file = folder.appendingPathComponent("keys")
            try data.write(to: file)
            return file.path
        }
        let keys = try APIKeys(contentsOfFile: write(Data("# team\nsk-a\r\n\n  sk-b  \n# sk-c\nsk-a\n".utf8)))
        #expect(keys.count == 2)
        #expect(keys.accepts("sk-a") && keys.accepts("sk-b"))
        #expect(!keys.accepts("sk-c") && !keys.accepts("") && !keys.accepts("sk-ab"))
        #expect("\(keys)" == "2 API keys")

        func failure(_ data: Data) throws -> CoppiceError? {
            let path = try write(data)
            return #expect(throws: CoppiceError.self) { try APIKeys(contentsOfFile: path) }
        }
        #expect(try failure(Data("# none\n".utf8))?.message == "holds no key")
        #expect(try failure(Data("good\nbad key\n".utf8))?.field == "key 2")
        #expect(try failure(Data([0x61, 0xFF, 0x0A]))?.message == "is not UTF-8 text")
        let missing = #expect(throws: CoppiceError.self) { try APIKeys(contentsOfFile: folder.path + "/none") }
        #expect(missing?.kind == .noInput)
    }
}
