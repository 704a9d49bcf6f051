import XCTest

@testable import SqueezeBertKit

/// Outputs that no honest model gives; tests/demos/test_swift_kit.py compares the others with Python.
final class ScoresTests: XCTestCase {
  func testTheLargestComeInOrderTheFirstOfEqualOnesFirstAndNaNLast() {
    let values: [Float] = [1, .nan, 3, 3, -.infinity, -0.0, 0]
    XCTAssertEqual(largest(values, 9), [2, 3, 0, 5, 6, 4, 1])
    XCTAssertEqual(largest(values, 2), [2, 3])
    XCTAssertEqual(argmax(values), 1)
    XCTAssertEqual(argmax([0, -0.0]), 0)
  }

  func testSha256IsThatOfFIPS180() {
    XCTAssertEqual(
      sha256(of: Data("abc".utf8)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    XCTAssertEqual(
      sha256(of: Data(repeating: 0x61, count: 1_000_000)),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }
}
